// SPDX-License-Identifier: Apache-2.0
// The profile behind the page: the columns of view_columns.h to typed arrays,
// trees of frames, sums, search. Knows nothing of the document.
"use strict";

const KINDS = [
	{ key: "thread", name: "thread" },
	{ key: "native", name: "native" },
	{ key: "python", name: "Python" },
	{ key: "kernel", name: "kernel" },
	{ key: "interpreter", name: "interpreter" },
	{ key: "marker", name: "marker" },
];
const KIND_PYTHON = 2;
const NONE = -1;

// All numbers of a column: digits of 5 bits, lowest first, bit 5 says that more follow.
function decodeNumbers(text) {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const digit = new Uint8Array(128);
	const numbers = new Float64Array(text.length);
	let count = 0, value = 0, scale = 1;

	for (let i = 0; i < digits.length; i++)
		digit[digits.charCodeAt(i)] = i;
	for (let i = 0; i < text.length; i++) {
		const d = digit[text.charCodeAt(i) & 127];

		value += (d & 31) * scale;
		scale *= 32;
		if (d < 32) {
			numbers[count++] = value;
			value = 0;
			scale = 1;
		}
	}
	return numbers.subarray(0, count);
}

class Frames {
	constructor(strings, text) {
		const numbers = decodeNumbers(text);

		this.strings = strings;
		this.count = numbers.length / 4;
		this.kind = new Uint8Array(this.count);
		this.name = new Uint32Array(this.count);
		this.file = new Uint32Array(this.count);
		this.line = new Uint32Array(this.count);
		// The first frame of the same function, which stands for it where lines do not count.
		this.first = new Int32Array(this.count);
		for (let i = 0, at = 0; i < this.count; i++, at += 4) {
			this.kind[i] = numbers[at];
			this.name[i] = numbers[at + 1];
			this.file[i] = numbers[at + 2];
			this.line[i] = numbers[at + 3];
			this.first[i] = i && this.kind[i] === this.kind[i - 1] &&
				this.name[i] === this.name[i - 1] &&
				this.file[i] === this.file[i - 1] ? this.first[i - 1] : i;
		}
	}

	nameOf(frame) {
		return this.strings[this.name[frame]];
	}

	// "path/file.py:12", or the module of native code.
	placeOf(frame, lines) {
		const file = this.strings[this.file[frame]];

		return file && lines && this.line[frame] ? `${file}:${this.line[frame]}` : file;
	}

	// What a folded line calls the frame.
	labelOf(frame, lines) {
		const place = this.kind[frame] === KIND_PYTHON ? this.placeOf(frame, lines) : "";

		return place ? `${this.nameOf(frame)} (${place})` : this.nameOf(frame);
	}
}

// The stacks of one view: a tree in preorder whose node 0 is no frame, and counts at its nodes.
function decodeStacks(text) {
	const numbers = decodeNumbers(text);
	const frame = new Int32Array(numbers.length + 1), parent = new Int32Array(numbers.length + 1);
	const node = new Int32Array(numbers.length), thread = new Int32Array(numbers.length);
	const samples = new Float64Array(numbers.length);
	const path = [0];
	let nodes = 1, counts = 0, stacks = 0;

	frame[0] = parent[0] = NONE;
	for (let at = 0; at < numbers.length; stacks++) {
		path.length -= numbers[at++];
		for (let add = numbers[at++]; add > 0; add--) {
			parent[nodes] = path[path.length - 1];
			path.push(nodes);
			frame[nodes++] = numbers[at++];
		}
		for (let add = numbers[at++]; add > 0; add--) {
			node[counts] = path[path.length - 1];
			thread[counts] = numbers[at++];
			samples[counts++] = numbers[at++];
		}
	}
	return {
		stacks,
		frame: frame.slice(0, nodes), parent: parent.slice(0, nodes),
		node: node.slice(0, counts), thread: thread.slice(0, counts),
		samples: samples.slice(0, counts),
	};
}

// Samples that end at each node, of the threads that accept (thread index -> bool) lets through.
function countSelf(stacks, accept) {
	const self = new Float64Array(stacks.frame.length);

	for (let i = 0; i < stacks.node.length; i++)
		if (!accept || accept(stacks.thread[i]))
			self[stacks.node[i]] += stacks.samples[i];
	return self;
}

// Nodes found by (parent, frame): open addressing in flat arrays, for a million children.
class TreeBuilder {
	constructor(expected) {
		this.count = 1;
		this.allocate(Math.max(1024, expected));
		this.frame[0] = this.parent[0] = NONE;
	}

	allocate(capacity) {
		const old = this.frame && this;
		const slots = 1 << (32 - Math.clz32(capacity * 2 - 1));
		const grown = { frame: new Int32Array(capacity), parent: new Int32Array(capacity) };

		if (old) {
			grown.frame.set(this.frame);
			grown.parent.set(this.parent);
		}
		this.frame = grown.frame;
		this.parent = grown.parent;
		this.slots = new Int32Array(slots);
		for (let node = 1; node < this.count; node++)
			this.slots[this.slotOf(this.parent[node], this.frame[node])] = node;
	}

	// Where (parent, frame) is, or would be: slot value 0, as the root is nobody's child.
	slotOf(parent, frame) {
		const mask = this.slots.length - 1;
		let slot = Math.imul(parent, 0x9e3779b1) ^ Math.imul(frame, 0x85ebca6b);

		for (slot = (slot ^ slot >>> 15) & mask; ; slot = slot + 1 & mask) {
			const node = this.slots[slot];

			if (!node || this.parent[node] === parent && this.frame[node] === frame)
				return slot;
		}
	}

	child(parent, frame) {
		let slot = this.slotOf(parent, frame);

		if (this.slots[slot])
			return this.slots[slot];
		if (this.count === this.frame.length) {
			this.allocate(this.count * 2);
			slot = this.slotOf(parent, frame);
		}
		this.parent[this.count] = parent;
		this.frame[this.count] = frame;
		this.slots[slot] = this.count;
		return this.count++;
	}
}

// A tree to draw: parents before children, widest child first. Sums are of samples.
class Tree {
	constructor(frame, parent, self) {
		const count = frame.length;

		this.count = count;
		this.frame = frame;
		this.parent = parent;
		this.self = self;
		this.total = Float64Array.from(self);
		for (let n = count - 1; n > 0; n--)
			this.total[parent[n]] += this.total[n];
		this.linkChildren();
		this.place();
	}

	linkChildren() {
		this.child = new Int32Array(this.count).fill(NONE);
		this.sibling = new Int32Array(this.count).fill(NONE);
		for (let n = this.count - 1; n > 0; n--) {
			if (!this.total[n])
				continue;
			this.sibling[n] = this.child[this.parent[n]];
			this.child[this.parent[n]] = n;
		}
		for (let n = 0; n < this.count; n++)
			if (this.child[n] !== NONE && this.sibling[this.child[n]] !== NONE)
				this.sortChildren(n);
	}

	sortChildren(parent) {
		const children = [];

		for (let n = this.child[parent]; n !== NONE; n = this.sibling[n])
			children.push(n);
		children.sort((a, b) => this.total[b] - this.total[a] || this.frame[a] - this.frame[b]);
		this.child[parent] = children[0];
		for (let i = 0; i < children.length; i++)
			this.sibling[children[i]] = i + 1 < children.length ? children[i + 1] : NONE;
	}

	place() {
		this.start = new Float64Array(this.count);
		this.depth = new Uint32Array(this.count);
		for (let n = 0; n < this.count; n++) {
			let at = this.start[n];

			for (let c = this.child[n]; c !== NONE; c = this.sibling[c]) {
				this.start[c] = at;
				this.depth[c] = this.depth[n] + 1;
				at += this.total[c];
			}
		}
	}

	path(node) {
		const path = [];

		for (; node > 0; node = this.parent[node])
			path.unshift(node);
		return path;
	}

	// Samples below node whose stacks hold a frame that is in matches (by frame); each once.
	countMatched(node, matches) {
		const open = [node];

		for (let n = node; n > 0; n = this.parent[n])
			if (matches[this.frame[n]])
				return this.total[node];
		let sum = 0;
		while (open.length) {
			for (let c = this.child[open.pop()]; c !== NONE; c = this.sibling[c]) {
				if (matches[this.frame[c]])
					sum += this.total[c];
				else
					open.push(c);
			}
		}
		return sum;
	}
}

// representative[frame] is the frame that stands for it, the first of its function; null: itself.
function buildTree(stacks, self, representative) {
	if (!representative)
		return new Tree(stacks.frame, stacks.parent, self);
	const builder = new TreeBuilder(stacks.frame.length);
	const to = new Int32Array(stacks.frame.length);
	const sums = new Float64Array(stacks.frame.length);

	for (let n = 1; n < stacks.frame.length; n++)
		to[n] = builder.child(to[stacks.parent[n]], representative[stacks.frame[n]]);
	for (let n = 0; n < self.length; n++)
		sums[to[n]] += self[n];
	return new Tree(builder.frame.subarray(0, builder.count),
		builder.parent.subarray(0, builder.count), sums.subarray(0, builder.count));
}

// Each function that was on the CPU at the root, its callers above.
function buildInvertedTree(stacks, self, representative) {
	const builder = new TreeBuilder(stacks.frame.length);
	const ends = [], sums = [];

	for (let n = 0; n < self.length; n++) {
		let at = 0;

		if (!self[n])
			continue;
		for (let up = n; up > 0; up = stacks.parent[up]) {
			const frame = stacks.frame[up];

			at = builder.child(at, representative ? representative[frame] : frame);
		}
		ends.push(at);
		sums.push(self[n]);
	}
	const atNode = new Float64Array(builder.count);
	for (let i = 0; i < ends.length; i++)
		atNode[ends[i]] += sums[i];
	return new Tree(builder.frame.subarray(0, builder.count),
		builder.parent.subarray(0, builder.count), atNode);
}

// Per function (its first frame): samples in it, and in it or what it calls, recursion once.
function countFunctions(stacks, self, first) {
	const count = stacks.frame.length;
	const total = Float64Array.from(self);
	const onPath = new Int32Array(first.length);
	const sums = { self: new Float64Array(first.length), total: new Float64Array(first.length) };
	const path = [0];

	for (let n = count - 1; n > 0; n--)
		total[stacks.parent[n]] += total[n];
	for (let n = 1; n < count; n++) { // preorder
		const f = first[stacks.frame[n]];

		while (path[path.length - 1] !== stacks.parent[n])
			onPath[first[stacks.frame[path.pop()]]]--;
		path.push(n);
		sums.self[f] += self[n];
		if (!onPath[f]++)
			sums.total[f] += total[n];
	}
	return sums;
}

// A test of labels: a regular expression or, as names hold brackets, the text as it is. Lower-case
// patterns ignore case.
function compileSearch(text) {
	const ignoreCase = text === text.toLowerCase();
	let pattern = null;

	try {
		pattern = new RegExp(text, ignoreCase ? "i" : "");
	} catch {
		// no pattern: the text alone
	}
	return label => Boolean(pattern && pattern.test(label)) ||
		(ignoreCase ? label.toLowerCase() : label).includes(text);
}
