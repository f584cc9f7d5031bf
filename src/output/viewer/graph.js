// SPDX-License-Identifier: Apache-2.0
// The canvas: colours, boxes, and the camera over them. Draws the tree of viewer.js; a
// screen of boxes is visited, not the tree, and what is thinner than a pixel's half is one box.

const ROW = 20; // pixels, with the gap of one
const THIN = 0.5; // narrower boxes are drawn as one
const TEXT_MIN = 34; // narrower boxes have no text
const root = document.documentElement;
const $ = id => document.getElementById(id);
const canvas = $("canvas"), scroller = $("scroller"), spacer = $("spacer");
const context = canvas.getContext("2d", { alpha: false });
const widths = new Map(); // frame -> pixels of its name
let camera = { from: 0, to: 1 };
let colours, depthShown = 0, rects = 0, hovered = NONE, motion = 0, pending = false;

// ---- colours ----

function mix(hex, other, amount) {
	const channels = [1, 3, 5].map(i => {
		const a = parseInt(hex.slice(i, i + 2), 16), b = parseInt(other.slice(i, i + 2), 16);

		return Math.round(a + (b - a) * amount).toString(16).padStart(2, "0");
	});

	return `#${channels.join("")}`;
}

function readColours() {
	const style = getComputedStyle(root);
	const get = name => style.getPropertyValue(`--${name}`).trim();
	const surface = get("surface");

	colours = {
		surface, ink: get("box-ink"), ink2: get("box-ink-2"), outline: get("ink"),
		match: get("match"), matchInk: get("match-ink"),
		pageInk: get("ink"), font: get("sans"), kinds: [], faded: [], rest: [],
	};
	for (const kind of KINDS) {
		const base = get(kind.key);
		// neighbours of one kind differ a little
		const shades = [0, 0.07, 0.14, 0.035, 0.105].map(by => mix(base, "#ffffff", by));

		colours.kinds.push(shades);
		colours.faded.push(shades.map(shade => mix(shade, surface, 0.62)));
		colours.rest.push(mix(base, surface, 0.4));
	}
	widths.clear();
}

// ---- drawing ----

const width = () => spacer.clientWidth;
const isFlame = () => (state.shape || (state.inverted ? "icicle" : "flame")) === "flame";
const contentHeight = () => Math.max((depthShown + 1) * ROW + 16, scroller.clientHeight);

function rowTop(depth) {
	return isFlame() ? contentHeight() - (depth + 1) * ROW - 7 : depth * ROW + 8;
}

// Calls box(node, left, right) for what the camera sees of depths low..high, and rest(first
// node, left, right) for boxes too thin to tell apart. Children are sorted: the rest is the end.
function visit(low, high, box, rest) {
	const scale = width() / (camera.to - camera.from);
	const open = [0];

	while (open.length) {
		const n = open.pop();
		const left = (tree.start[n] - camera.from) * scale;

		if (tree.depth[n] >= low)
			box(n, left, left + tree.total[n] * scale);
		if (tree.depth[n] >= high)
			continue;
		for (let c = tree.child[n]; c !== NONE; c = tree.sibling[c]) {
			const from = (tree.start[c] - camera.from) * scale;

			if (from > width())
				break;
			if (tree.total[c] * scale < THIN) {
				const to = (tree.start[n] + tree.total[n] - tree.self[n] - camera.from) * scale;

				if (to > 0 && to - from >= THIN && tree.depth[c] >= low)
					rest(c, from, to);
				break;
			}
			if (from + tree.total[c] * scale > 0)
				open.push(c);
		}
	}
}

function measureDepth() {
	let depth = 0;

	visit(0, Infinity, n => { depth = Math.max(depth, tree.depth[n]); }, () => {});
	depthShown = depth;
	spacer.style.height = `${contentHeight()}px`;
}

function resizeCanvas() {
	const ratio = devicePixelRatio || 1;
	const w = Math.round(width() * ratio), h = Math.round(scroller.clientHeight * ratio);

	if (canvas.width !== w || canvas.height !== h) {
		canvas.width = w;
		canvas.height = h;
		canvas.style.height = `${scroller.clientHeight}px`;
	}
	context.setTransform(ratio, 0, 0, ratio, 0, 0);
}

function draw() {
	const top = scroller.scrollTop, bottom = top + scroller.clientHeight;
	const rowAt = y => isFlame() ? (contentHeight() - 7 - y) / ROW : (y - 8) / ROW;
	const low = Math.floor(Math.min(rowAt(top), rowAt(bottom))) - 1;
	const high = Math.ceil(Math.max(rowAt(top), rowAt(bottom)));

	pending = false;
	resizeCanvas();
	rects = 0;
	context.fillStyle = colours.surface;
	context.fillRect(0, 0, width(), scroller.clientHeight);
	context.font = `12px ${colours.font}`;
	context.textBaseline = "middle";
	context.direction = "ltr";
	visit(low, high, (n, left, right) => drawBox(n, left, right, rowTop(tree.depth[n]) - top),
		(first, left, right) => {
			rects++;
			context.fillStyle = colours.rest[frames.kind[tree.frame[first]]];
			context.fillRect(left, rowTop(tree.depth[first]) - top, right - left, ROW - 1);
		});
	root.dataset.rects = rects;
}

function drawBox(node, left, right, y) {
	const frame = tree.frame[node];
	const kind = node ? frames.kind[frame] : 0;
	const shade = node ? frames.first[frame] * 7 % 5 : 0;
	const matched = matches && node && matches[frame];
	const above = tree.depth[node] < tree.depth[state.zoom];
	const faded = above || matches && !matched;
	const gap = right - left > 3 ? 1 : 0;

	left = Math.max(left, 0);
	right = Math.min(right, width());
	rects++;
	context.fillStyle = matched ? colours.match : (faded ? colours.faded : colours.kinds)[kind][shade];
	context.fillRect(left, y, Math.max(right - left - gap, THIN), ROW - 1);
	if (node === hovered) {
		context.strokeStyle = colours.outline;
		context.lineWidth = 1.5;
		context.strokeRect(left + 0.75, y + 0.75, Math.max(right - left - gap - 1.5, 0.5), ROW - 2.5);
	}
	if (right - left >= TEXT_MIN) {
		const onDark = kind === 0 || faded;

		context.fillStyle = matched ? colours.matchInk : onDark ? colours.pageInk : colours.ink;
		context.globalAlpha = faded && !matched ? 0.72 : 1;
		drawText(node, left + 5, right - left - 10 - gap, y + ROW / 2, matched || onDark);
		context.globalAlpha = 1;
	}
}

function textWidth(key, text) {
	let w = widths.get(key);

	if (w === undefined)
		widths.set(key, w = context.measureText(text).width);
	return w;
}

// As much of text as fits, cut between characters.
function fit(text, full, room) {
	if (full <= room)
		return text;
	const characters = Array.from(text.slice(0, SHOWN_MAX));
	let keep = Math.min(characters.length, Math.floor(characters.length * room / full) + 1);
	let cut;

	do {
		cut = `${characters.slice(0, --keep).join("")}…`;
	} while (keep > 0 && context.measureText(cut).width > room);
	return keep > 0 ? cut : "";
}

function drawText(node, x, room, y, plain) {
	const frame = tree.frame[node];
	const name = node ? shown(nameOf(node)) : `all · ${integer(tree.total[0])} samples`;
	const full = textWidth(node ? frame : NONE, name);

	context.fillText(fit(name, full, room), x, y);
	if (!node || frames.kind[frame] !== KIND_PYTHON || full + 40 > room)
		return;
	const place = short(frames.placeOf(frame, state.lines));

	if (!plain)
		context.fillStyle = colours.ink2;
	if (context.measureText(place).width <= room - full - 9)
		context.fillText(place, x + full + 9, y);
}

function redraw() {
	if (!pending)
		requestAnimationFrame(draw);
	pending = true;
}

// ---- camera ----

function setCamera(from, to) {
	const all = tree.total[0] || 1;
	const span = Math.min(Math.max(to - from, Math.min(1, all)), all);

	from = Math.min(Math.max(from, 0), all - span);
	camera = { from, to: from + span };
}

// After the camera or the shape changed: rows, and the zoomed frame in sight.
function settle() {
	measureDepth();
	const y = rowTop(tree.depth[state.zoom]);

	if (isFlame())
		scroller.scrollTop = y + 3 * ROW + 8 - scroller.clientHeight;
	else
		scroller.scrollTop = y - 3 * ROW - 8;
	redraw();
}

function moveCamera(from, to, animated) {
	const start = { ...camera }, begun = performance.now();
	const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

	cancelAnimationFrame(motion);
	if (!animated || still) {
		setCamera(from, to);
		settle();
		return;
	}
	const step = now => {
		const t = Math.min(1, Math.max(0, now - begun) / 180), ease = 1 - (1 - t) ** 3;

		setCamera(start.from + (from - start.from) * ease, start.to + (to - start.to) * ease);
		draw();
		if (t < 1)
			motion = requestAnimationFrame(step);
		else
			settle();
	};
	motion = requestAnimationFrame(step);
}

function zoomTo(node, animated) {
	state.zoom = node;
	moveCamera(tree.start[node], tree.start[node] + (tree.total[node] || 1), animated);
	showCrumbs();
	showMatched();
	showStatus(node);
	remember();
}

function magnify(factor, at) {
	const focus = camera.from + at * (camera.to - camera.from);
	const span = (camera.to - camera.from) / factor;

	cancelAnimationFrame(motion);
	setCamera(focus - at * span, focus - at * span + span);
	measureDepth();
	redraw();
}

function pan(by) {
	const span = camera.to - camera.from;

	cancelAnimationFrame(motion);
	setCamera(camera.from + by * span, camera.to + by * span);
	redraw();
}

function nodeAt(event) {
	const box = canvas.getBoundingClientRect();
	const x = event.clientX - box.left;
	const y = event.clientY - box.top + scroller.scrollTop;
	const row = isFlame() ? (contentHeight() - 7 - y) / ROW : (y - 8) / ROW;
	const depth = Math.floor(row);
	const at = camera.from + x / width() * (camera.to - camera.from);
	let node = 0;

	if (depth < 0)
		return NONE;
	while (node !== NONE && tree.depth[node] < depth) {
		let c = tree.child[node];

		while (c !== NONE && !(at >= tree.start[c] && at < tree.start[c] + tree.total[c]))
			c = tree.sibling[c];
		node = c;
	}
	return node;
}
