# SPDX-License-Identifier: Apache-2.0
"""Stacks for html_profile: made up here, so that what a page must show is known without our code."""
import random

NATIVE, PYTHON, KERNEL, INTERPRETER, MARKER = 1, 2, 3, 4, 5
EVAL = 1

HOSTILE = [
    "</script><script>document.documentElement.dataset.pwned='script'</script>",
    "<img src=x onerror=\"document.documentElement.dataset.pwned='img'\">",
    "<!--<script>", "-->", "]]>", "</title></style></textarea></noscript>",
    "<svg/onload=document.documentElement.dataset.pwned='svg'>",
    "{{profile}}", "{{viewer}}", "${alert(1)}", "`;document.documentElement.dataset.pwned='js';`",
    "'\"\\\\\"';alert(1)//", "\\u003c/script\\u003e", "javascript:alert(1)", "&lt;b&gt;&amp;",
    "<module>", "<lambda>", "<listcomp>", "std::map<int, std::vector<char> >::operator[]",
    "a\u2028b\u2029c", "\u202egnp.exe\u202c", "\u2066x\u2069", "\ufeffbom", "\u200dzwj\U0001f469\u200d\U0001f4bb",
    "naïve_函数_имя_دالة", "__proto__", "constructor", "toString", "hasOwnProperty",
    "A" * 10000, "é" * 10000, "x y 120", "semi;colon", "%s%n%x", "",
]


class Frame:
    def __init__(self, kind, name, file="", line=0, flags=0):
        self.kind, self.name, self.file, self.line, self.flags = kind, name, file, line, flags

    def encode(self):
        return "\x1f".join(map(str, (self.kind, self.flags, self.line, self.file, self.name)))


class Stack:
    def __init__(self, count, frames, pid=4242, tid=4242, comm="python3"):
        self.count, self.frames, self.pid, self.tid, self.comm = count, frames, pid, tid, comm

    def encode(self):
        head = (str(self.count), str(self.pid), str(self.tid), self.comm)
        return "\x1e".join(head + tuple(f.encode() for f in self.frames)) + "\n"


def encode(stacks):
    return "".join(s.encode() for s in stacks).encode("utf-8", "surrogateescape")


def prologue():
    python = "/usr/lib/x86_64-linux-gnu/libpython3.12.so.1.0"
    return [
        Frame(NATIVE, "_start", "/usr/bin/python3.12"),
        Frame(NATIVE, "__libc_start_main", "/usr/lib/x86_64-linux-gnu/libc.so.6"),
        Frame(INTERPRETER, "Py_RunMain", python),
        Frame(INTERPRETER, "PyEval_EvalCode", python),
        Frame(INTERPRETER, "_PyEval_EvalFrameDefault", python, flags=EVAL),
    ]


def hostile():
    """Every hostile name as a function, a file, a thread; three samples each."""
    stacks = []
    for i, name in enumerate(HOSTILE):
        kind = (PYTHON, NATIVE, KERNEL)[i % 3]
        frames = prologue() + [Frame(PYTHON, "<module>", name, i), Frame(kind, name, name, i)]
        stacks.append(Stack(3, frames, tid=4242 + i, comm=name.replace("\n", "")[:15]))
    return stacks


def large(count=20000, seed=7):
    """Distinct stacks of 30 to 90 frames, with the interpreter's frames between the Python ones."""
    rng = random.Random(seed)
    python = "/usr/lib/x86_64-linux-gnu/libpython3.12.so.1.0"
    functions = [Frame(PYTHON, f"Service{i % 97}.handle_{i}", f"/srv/app/module_{i % 211}.py", 10 + i)
                 for i in range(3000)]
    natives = [Frame(NATIVE, f"native_{i}(std::vector<int> const&)", f"/srv/app/lib{i % 31}.so")
               for i in range(1500)]
    kernels = [Frame(KERNEL, f"kernel_{i}") for i in range(300)]
    call = [Frame(INTERPRETER, "_PyEval_EvalFrameDefault", python, flags=EVAL),
            Frame(INTERPRETER, "PyObject_Vectorcall", python)]
    seen, stacks = set(), []
    while len(stacks) < count:
        path, at = [], rng.randrange(40)
        for _ in range(rng.randrange(8, 24)):
            at = (at * 31 + rng.choice((1, 1, 1, 2, 3, 5, 7))) % len(functions)
            path.append(at)
        tail = [rng.randrange(len(natives)) for _ in range(rng.randrange(0, 8))]
        deep = [rng.randrange(len(kernels)) for _ in range(rng.choice((0, 0, 0, 3, 9)))]
        key = (tuple(path), tuple(tail), tuple(deep))
        if key in seen:
            continue
        seen.add(key)
        frames = prologue()
        for n in path:
            frames += [functions[n]] + call
        frames += [natives[n] for n in tail] + [kernels[n] for n in deep]
        count_of = 1 + int(rng.paretovariate(1.2))
        stacks.append(Stack(min(count_of, 500), frames, tid=4242 + rng.randrange(16)))
    return stacks


def deep():
    """A recursion of 1,000 beside a shallow stack."""
    fib = [Frame(PYTHON, "fib", "fib.py", 4)]
    return [Stack(30, prologue() + fib * 1000), Stack(70, prologue() + fib + [Frame(NATIVE, "leaf", "x.so")])]


def demo():
    """A web application: what the screenshots show."""
    rng = random.Random(3)
    python, libc = "/usr/lib/libpython3.12.so.1.0", "/usr/lib/x86_64-linux-gnu/libc.so.6"

    def py(text):
        name, file, line = text.rsplit(" ", 2)
        return Frame(PYTHON, name, file, int(line))

    def native(module, *names):
        return [Frame(NATIVE, n, module) for n in names]

    def interpreter(*names):
        return [Frame(INTERPRETER, n, python, flags=EVAL if "EvalFrame" in n else 0) for n in names]

    def kernel(*names):
        return [Frame(KERNEL, n) for n in names]

    syscall = kernel("entry_SYSCALL_64_after_hwframe", "do_syscall_64")
    serve = [py("<module> /srv/shop/serve.py 41"), py("Server.serve_forever /srv/shop/server.py 118"),
             py("Server.handle /srv/shop/server.py 156"), py("Application.__call__ /srv/shop/app.py 88"),
             py("Router.dispatch /srv/shop/routing.py 64")]
    cart = serve + [py("CartView.post /srv/shop/views/cart.py 52")]
    price = cart + [py("PriceEngine.quote /srv/shop/pricing.py 141")]
    search = serve + [py("SearchView.get /srv/shop/views/search.py 33")]
    ranked = search + [py("Index.rank /srv/shop/search/index.py 207")]
    render = [py("Template.render /srv/shop/templates.py 301")]
    numpy = "/usr/lib/python3/dist-packages/numpy/core/_multiarray_umath.so"
    zlib, sqlite = "/usr/lib/x86_64-linux-gnu/libz.so.1", "/usr/lib/x86_64-linux-gnu/libsqlite3.so.0"
    json = "/usr/lib/python3.12/lib-dynload/_json.so"
    read = native(libc, "__libc_read") + syscall + kernel("ksys_read", "vfs_read", "ext4_file_read_iter")
    shapes = [
        (620, price + [py("Basket.total /srv/shop/pricing.py 77")]),
        (410, price + [py("Basket.total /srv/shop/pricing.py 78"), py("<genexpr> /srv/shop/pricing.py 78")]),
        (260, price + [py("Discounts.apply /srv/shop/discounts.py 39")]),
        (190, price + [py("Discounts.apply /srv/shop/discounts.py 44"), py("Rule.matches /srv/shop/discounts.py 21")]
         + interpreter("_PyEval_EvalFrameDefault") + interpreter("PyUnicode_Contains")),
        (170, cart + [py("Session.save /srv/shop/session.py 60"), py("dumps /usr/lib/python3.12/json/__init__.py 231")]
         + native(json, "encoder_call", "encoder_listencode_dict", "encoder_listencode_obj")),
        (150, cart + [py("Session.save /srv/shop/session.py 62")] + native(zlib, "deflate", "deflate_slow", "longest_match")),
        (60, cart + [py("Session.save /srv/shop/session.py 62")] + native(zlib, "deflate", "crc32_z")),
        (740, ranked + [py("score /srv/shop/search/score.py 18")] + native(numpy, "array_matmul", "DOUBLE_matmul", "cblas_dgemm")),
        (240, ranked + [py("score /srv/shop/search/score.py 19")] + native(numpy, "ufunc_generic_fastcall", "DOUBLE_add_AVX2")),
        (130, ranked + [py("score /srv/shop/search/score.py 19")] + native(numpy, "array_dealloc")
         + native(libc, "free") + syscall + kernel("__x64_sys_munmap", "unmap_region", "free_pgtables")),
        (180, ranked + [py("sorted_hits /srv/shop/search/index.py 180")] + interpreter("list_sort_impl", "binarysort")),
        (230, search + [py("Connection.query /srv/shop/db.py 95")] + native(sqlite, "sqlite3_step", "sqlite3VdbeExec", "sqlite3BtreeNext")),
        (160, search + [py("Connection.query /srv/shop/db.py 95")] + native(sqlite, "sqlite3_step", "sqlite3VdbeExec", "pcache1Fetch") + read),
        (110, search + [py("Connection.query /srv/shop/db.py 97")]),
        (210, search + render + [py("Node.render /srv/shop/templates.py 122"), py("escape /usr/lib/python3.12/html/__init__.py 19")]),
        (140, cart + render + [py("Node.render /srv/shop/templates.py 125")]),
        (90, serve + [py("LoginView.post /srv/shop/views/login.py 27"), py("scrypt /srv/shop/passwords.py 14")]
         + native("/usr/lib/x86_64-linux-gnu/libcrypto.so.3", "EVP_PBE_scrypt_ex", "scryptROMix", "salsa208_word_specification")),
        (70, serve[:3] + native(libc, "__send") + syscall + kernel("__sys_sendto", "tcp_sendmsg", "tcp_push", "__tcp_transmit_skb", "ip_queue_xmit")),
        (55, serve[:2] + native(libc, "epoll_wait") + syscall + kernel("do_epoll_wait", "ep_poll", "schedule_hrtimeout_range")),
    ]
    stacks = []
    for weight, frames in shapes:
        for tid in range(4242, 4246):
            count = int(weight * rng.uniform(0.6, 1.4) / 4) + 1
            full = prologue()
            for frame in frames:
                full.append(frame)
                if frame.kind == PYTHON:
                    full += interpreter("_PyEval_EvalFrameDefault")
            stacks.append(Stack(count, full, tid=tid, comm="gunicorn"))
            extra = [Frame(PYTHON, f"field_{rng.randrange(40)}", "/srv/shop/models.py", rng.randrange(20, 400))]
            if frames[-1].kind == PYTHON:
                stacks.append(Stack(count // 9 + 1, full + extra, tid=tid, comm="gunicorn"))
    stacks.append(Stack(9, [Frame(MARKER, "[truncated:unwind_no_row]"), Frame(NATIVE, "jit_stub", "[anon]")], tid=4243, comm="gunicorn"))
    gc = interpreter("gc_collect_main", "deduce_unreachable", "subtract_refs", "dict_traverse")
    stacks.append(Stack(120, prologue() + cart + gc, tid=4242, comm="gunicorn"))
    return stacks
