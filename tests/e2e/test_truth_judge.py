#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The judge must be able to condemn: doctored stacks, each with the outcome it must get."""
import copy
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import truth_judge  # noqa: E402

LEAVES = {
    "leaf_a": {"chain": [["py", "<module>", "/t.py", 90], ["py", "main", "/t.py", 80],
                         ["py", "via_a", "/t.py", 12], ["c", "bridge_call"],
                         ["py", "K.step", "/t.py", 7], ["c", "bridge_call2_outer"],
                         ["c", "bridge_call2_inner"], ["py", "leaf_a", "/t.py", None]],
               "leaf_lines": [1, 2, 3]},
    "bridge_leaf_spin": {"chain": [["py", "<module>", "/t.py", 90], ["py", "main", "/t.py", 80],
                                   ["py", "via_spin", "/t.py", 20], ["c", "bridge_leaf_spin"]],
                         "leaf_lines": []},
    "leaf_é;": {"chain": [["py", "<module>", "/t.py", 90], ["py", "leaf_é;", "/a;b.py", None]],
                "leaf_lines": [5]},
}
GOOD = ["python3", "_start", "<module> (/t.py:90)", "main (/t.py:80)", "via_a (/t.py:12)",
        "cfunction_vectorcall", "bridge_call", "PyObject_CallObject@plt", "K.step (/t.py:7)",
        "bridge_call2_outer", "bridge_call2_inner", "leaf_a (/t.py:2)", "asm_sysvec_[k]"]
STATS = {
    "samples": {"expected": 110, "run": 100, "undelivered": 10, "filtered": 3, "idle": 2,
                "written": 95, "decoded": 95, "lost": {"ring_full": 0}, "unexplained": 0},
    "verdicts": {"exact": 80, "entering": 5, "resynced": 0, "truncated": 0, "partial": 0,
                 "native": 10},
    "roots": {"user": 95, "reached": 95}, "stops": {},
}


def outcome_of(frames, count=7):
    """The one outcome of one stack."""
    judgement = truth_judge.judge([(frames, count)], LEAVES)
    assert judgement.total == count
    if judgement.strays:
        assert judgement.strays == count and not judgement.outcomes
        return "stray"
    if not judgement.outcomes:
        return "outside"
    assert list(judgement.outcomes.values()) == [count]
    return list(judgement.outcomes)[0]


def without(name):
    """GOOD without the frame that begins so."""
    frames = [frame for frame in GOOD if not frame.startswith(name)]
    assert len(frames) == len(GOOD) - 1
    return frames


def swapped(upper, lower):
    """GOOD with two frames in each other's place."""
    frames = list(GOOD)
    i = next(i for i, frame in enumerate(frames) if frame.startswith(upper))
    k = next(i for i, frame in enumerate(frames) if frame.startswith(lower))
    frames[i], frames[k] = frames[k], frames[i]
    return frames


def relined(name, line):
    """GOOD with another line in one frame."""
    return [frame[:frame.rindex(":") + 1] + "%d)" % line if frame.startswith(name) else frame
            for frame in GOOD]


class LeafOutcomes(unittest.TestCase):
    """Stacks with a leaf."""

    def test_good_is_exact(self):
        self.assertEqual(outcome_of(GOOD), "exact")

    def test_c_leaf(self):
        frames = ["python3", "<module> (/t.py:90)", "main (/t.py:80)", "via_spin (/t.py:20)",
                  "bridge_leaf_spin"]
        self.assertEqual(outcome_of(frames), "exact")
        self.assertEqual(outcome_of(frames[:3] + frames[4:]), "wrong_chain")
        self.assertEqual(outcome_of(frames + ["main (/t.py:80)"]), "wrong_chain")

    def test_any_dropped_frame(self):
        for name in ["<module>", "main", "via_a", "bridge_call", "K.step", "bridge_call2_outer",
                     "bridge_call2_inner"]:
            frames = list(GOOD)
            frames.remove(next(frame for frame in GOOD if frame.startswith(name)))
            self.assertEqual(outcome_of(frames), "wrong_chain", name)

    def test_any_swap(self):
        for upper, lower in [("main", "via_a"), ("via_a", "bridge_call"), ("bridge_call", "K.step"),
                             ("K.step", "bridge_call2_outer"), ("bridge_call2_inner", "leaf_a"),
                             ("bridge_call2_outer", "bridge_call2_inner")]:
            self.assertEqual(outcome_of(swapped(upper, lower)), "wrong_chain", upper)

    def test_frame_too_many(self):
        for extra in ["other (/t.py:1)", "bridge_call", "leaf_a (/t.py:2)"]:
            for at in range(2, len(GOOD)):
                frames = GOOD[:at] + [extra] + GOOD[at:]
                self.assertEqual(outcome_of(frames), "wrong_chain", "%s at %d" % (extra, at))

    def test_line_off_by_one(self):
        for name, line in [("<module>", 90), ("main", 80), ("via_a", 12), ("K.step", 7)]:
            self.assertEqual(outcome_of(relined(name, line - 1)), "wrong_line", name)
            self.assertEqual(outcome_of(relined(name, line + 1)), "wrong_line", name)

    def test_leaf_line(self):
        for line, outcome in [(0, "wrong_line"), (1, "exact"), (3, "exact"), (4, "wrong_line")]:
            self.assertEqual(outcome_of(relined("leaf_a", line)), outcome)

    def test_wrong_file(self):
        frames = [frame.replace("K.step (/t.py", "K.step (/u.py") for frame in GOOD]
        self.assertEqual(outcome_of(frames), "wrong_chain")

    def test_unqualified_name(self):
        frames = [frame.replace("K.step", "step") for frame in GOOD]
        self.assertEqual(outcome_of(frames), "wrong_chain")

    def test_truncated_is_not_exact(self):
        frames = ["python3", "[truncated:unwind_no_row]"] + GOOD[1:]
        self.assertEqual(outcome_of(frames), "truncated")

    def test_unknown_leaf(self):
        self.assertEqual(outcome_of(["python3", "leaf_nobody (/t.py:1)"]), "wrong_chain")

    def test_sanitized_names(self):
        frames = ["python3", "<module> (/t.py:90)", "leaf_é: (/a:b.py:5)"]
        self.assertEqual(outcome_of(frames), "exact")


class OtherStacks(unittest.TestCase):
    """Stacks without a leaf."""

    def test_beginning_of_a_chain(self):
        for end in range(1, GOOD.index("leaf_a (/t.py:2)")):
            self.assertEqual(outcome_of(GOOD[:end]), "outside", "first %d" % end)

    def test_unknown_frames_are_not_judged(self):
        frames = GOOD[:4] + ["helper (/t.py:99)", "_start"]
        self.assertEqual(outcome_of(frames), "outside")

    def test_lost_frame(self):
        frames = without("leaf_a")
        frames.remove("bridge_call")
        self.assertEqual(outcome_of(frames), "stray")

    def test_lost_root(self):
        self.assertEqual(outcome_of(["python3", "main (/t.py:80)"]), "stray")

    def test_order(self):
        frames = [frame for frame in swapped("bridge_call2_outer", "bridge_call2_inner")
                  if not frame.startswith("leaf_a")]
        self.assertEqual(outcome_of(frames), "stray")


class Totals(unittest.TestCase):
    """Counts are weights, and the statistics must add up."""

    def test_weights(self):
        text = "%s 998\n%s 2\n" % (";".join(GOOD), ";".join(without("K.step")))
        judgement = truth_judge.judge(truth_judge.parse_folded(text), LEAVES)
        self.assertEqual(judgement.in_leaves, 1000)
        self.assertAlmostEqual(judgement.share("exact"), 0.998)
        self.assertEqual(judgement.unseen, ["bridge_leaf_spin", "leaf_é:"])

    def test_not_folded(self):
        for text in ["no count", "a;b 0", "a;b -1", "a;b 1.5", "5"]:
            with self.assertRaises(ValueError):
                truth_judge.parse_folded(text)

    def test_good_stats(self):
        self.assertEqual(truth_judge.check_stats(STATS, 95), [])
        self.assertEqual(truth_judge.good_verdict_share(STATS), 1.0)
        self.assertEqual(truth_judge.root_share(STATS), 1.0)

    def test_doctored_stats(self):
        for path, value in [("unexplained", 1), ("run", 101), ("written", 94), ("decoded", 94),
                            ("undelivered", 9), ("filtered", 2)]:
            stats = copy.deepcopy(STATS)
            stats["samples"][path] = value
            self.assertTrue(truth_judge.check_stats(stats, 95), path)
        stats = copy.deepcopy(STATS)
        stats["verdicts"]["exact"] -= 1
        self.assertTrue(truth_judge.check_stats(stats, 95))
        self.assertTrue(truth_judge.check_stats(STATS, 94))

    def test_shares(self):
        stats = copy.deepcopy(STATS)
        stats["verdicts"].update(exact=75, partial=5)
        stats["roots"]["reached"] = 94
        self.assertAlmostEqual(truth_judge.good_verdict_share(stats), 80 / 85)
        self.assertAlmostEqual(truth_judge.root_share(stats), 94 / 95)


if __name__ == "__main__":
    unittest.main()
