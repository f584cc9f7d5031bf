// SPDX-License-Identifier: Apache-2.0
// The page: owns the profile, the tree shown and the state, and keeps graph.js and panels.js
// in step with them. The state stands in the address, so that a view can be shared.

const data = JSON.parse($("profile").textContent);
const frames = new Frames(data.strings, data.frames);
const threads = readThreads();
const viewCache = {};
const state = {
	view: data.view, inverted: false, lines: data.lines, shape: "", search: "",
	who: "", zoom: 0, table: innerWidth > 820, sort: "self", theme: "",
};
let stacks, self, tree, matches = null, functions;

// ---- profile ----

function readThreads() {
	const numbers = decodeNumbers(data.threads), list = [];

	for (let i = 0; i < numbers.length; i += 3)
		list.push({ process: numbers[i], tid: numbers[i + 1],
			comm: data.strings[numbers[i + 2]], samples: 0 });
	return list;
}

function acceptance() {
	const index = Number(state.who.slice(1));

	if (state.who[0] === "p")
		return t => threads[t].process === index;
	if (state.who[0] === "t")
		return t => t === index;
	return null;
}

// Everything that follows from view, threads, lines and direction.
function rebuild() {
	const representative = state.lines ? null : frames.first;

	stacks = viewCache[state.view] ??= decodeStacks(data.views[state.view]);
	self = countSelf(stacks, acceptance());
	tree = (state.inverted ? buildInvertedTree : buildTree)(stacks, self, representative);
	functions = countFunctions(stacks, self, frames.first);
	hovered = NONE;
	state.zoom = 0;
	camera = { from: 0, to: tree.total[0] || 1 };
	search();
	showLegend();
}

function search() {
	matches = null;
	if (state.search) {
		const test = compileSearch(state.search);

		matches = new Uint8Array(frames.count);
		for (let f = 0; f < frames.count; f++)
			matches[f] = test(frames.labelOf(f, state.lines)) ? 1 : 0;
	}
	showMatched();
	showTable();
}

// ---- state ----

function applyTheme() {
	const dark = matchMedia("(prefers-color-scheme: dark)").matches;

	root.dataset.theme = state.theme || (dark ? "dark" : "light");
	readColours();
}

function remember() {
	const words = new URLSearchParams();

	if (state.view !== data.view)
		words.set("view", state.view);
	if (state.inverted)
		words.set("invert", "1");
	if (state.shape)
		words.set("shape", state.shape);
	if (state.lines !== data.lines)
		words.set("lines", state.lines ? "1" : "0");
	if (state.who)
		words.set("who", state.who);
	if (state.search)
		words.set("search", state.search);
	if (state.zoom)
		words.set("zoom", `@${state.zoom}`);
	if (state.theme)
		words.set("theme", state.theme);
	try {
		history.replaceState(null, "", `#${words}`);
	} catch {
		// some embedders forbid it; the address is a convenience
	}
}

// zoom=@NODE as remember() writes it, or zoom=NAME: the widest frame of that name.
function findZoom(word) {
	let found = 0;

	if (/^@\d+$/.test(word)) {
		const node = Number(word.slice(1));

		return node < tree.count && tree.total[node] ? node : 0;
	}
	for (let n = 1; n < tree.count; n++)
		if (frames.nameOf(tree.frame[n]) === word && (!found || tree.total[n] > tree.total[found]))
			found = n;
	return found;
}

function recall() {
	const words = new URLSearchParams(location.hash.slice(1));
	const view = words.get("view");

	state.view = Object.hasOwn(data.views, view) ? view : data.view;
	state.inverted = words.get("invert") === "1";
	state.shape = ["flame", "icicle"].find(s => s === words.get("shape")) || "";
	state.lines = words.has("lines") ? data.lines && words.get("lines") === "1" : data.lines;
	state.who = /^[pt]\d+$/.test(words.get("who")) ? words.get("who") : "";
	if (Number(state.who.slice(1)) >= (state.who[0] === "p" ? data.processes : threads).length)
		state.who = "";
	state.search = words.get("search") || "";
	state.theme = ["dark", "light"].find(t => t === words.get("theme")) || "";
	applyTheme();
	rebuild();
	showButtons();
	zoomTo(findZoom(words.get("zoom") || ""), false);
	$("threads").value = state.who;
}

function change(what) {
	Object.assign(state, what);
	rebuild();
	showButtons();
	zoomTo(0, false);
}

function setSearch(text) {
	state.search = text;
	search();
	showButtons();
	redraw();
	remember();
}

function setShape(shape) {
	state.shape = shape === (state.inverted ? "icicle" : "flame") ? "" : shape;
	showButtons();
	settle();
	remember();
}

function setTable(on) {
	state.table = on;
	showButtons();
	settle();
}

function setSort(sort) {
	state.sort = sort;
	showTable();
}

function setTheme() {
	state.theme = root.dataset.theme === "dark" ? "light" : "dark";
	applyTheme();
	redraw();
	remember();
}

const actions = {
	"/": () => { $("search").focus(); $("search").select(); },
	"i": () => change({ inverted: !state.inverted }),
	"o": () => setShape(isFlame() ? "icicle" : "flame"),
	"l": () => data.lines && change({ lines: !state.lines }),
	"v": () => {
		const names = Object.keys(VIEW_NAMES);

		change({ view: names[(names.indexOf(state.view) + 1) % names.length] });
	},
	"h": () => setTable(!state.table),
	"t": setTheme,
	"?": () => $("keys").showModal(),
	"+": () => magnify(1.6, 0.5),
	"=": () => magnify(1.6, 0.5),
	"-": () => magnify(1 / 1.6, 0.5),
	"ArrowLeft": () => pan(-0.15),
	"ArrowRight": () => pan(0.15),
	"ArrowUp": () => { scroller.scrollTop -= 3 * ROW; },
	"ArrowDown": () => { scroller.scrollTop += 3 * ROW; },
	"Escape": () => {
		if (state.search)
			setSearch("");
		else
			zoomTo(0, true);
		document.activeElement.blur();
	},
};

function onKey(event) {
	const typing = event.target.closest?.("input, select, dialog");

	if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open)
		return;
	if (typing && event.key !== "Escape")
		return;
	if (Object.hasOwn(actions, event.key)) {
		event.preventDefault();
		actions[event.key]();
	}
}

function onMove(event) {
	const node = nodeAt(event);

	if (node !== hovered) {
		hovered = node;
		canvas.style.cursor = node > 0 ? "pointer" : "default";
		showStatus(node);
		redraw();
	}
	showTip(event);
}

function onLeave() {
	hovered = NONE;
	showTip(null);
	showStatus(NONE);
	redraw();
}

function onClick(event) {
	const node = nodeAt(event);

	if (node === NONE)
		return;
	zoomTo(node === state.zoom && node ? tree.parent[node] : node, true);
}

function onWheel(event) {
	if (event.ctrlKey || event.metaKey) {
		event.preventDefault();
		magnify(Math.exp(-event.deltaY / 300), event.offsetX / width());
	} else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
		event.preventDefault();
		pan((event.deltaX || event.deltaY) / width());
	}
}

function listen() {
	for (const [value, name] of Object.entries(VIEW_NAMES)) {
		const button = element("button", name);

		button.type = "button";
		button.value = value;
		button.title = "Frames shown (v)";
		button.addEventListener("click", () => change({ view: value }));
		$("views").append(button);
	}
	const click = (id, action) => $(id).addEventListener("click", action);

	click("flame", () => setShape("flame"));
	click("icicle", () => setShape("icicle"));
	click("invert", actions.i);
	click("lines", actions.l);
	click("table", actions.h);
	click("theme", setTheme);
	click("help", actions["?"]);
	click("by-self", () => setSort("self"));
	click("by-total", () => setSort("total"));
	$("threads").addEventListener("change", e => change({ who: e.target.value }));
	$("search").addEventListener("input", e => setSearch(e.target.value));
	canvas.addEventListener("mousemove", onMove);
	canvas.addEventListener("mouseleave", onLeave);
	canvas.addEventListener("click", onClick);
	canvas.addEventListener("wheel", onWheel, { passive: false });
	scroller.addEventListener("scroll", redraw, { passive: true });
	addEventListener("keydown", onKey);
	addEventListener("hashchange", recall);
	matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
		applyTheme();
		redraw();
	});
	new ResizeObserver(() => {
		measureDepth();
		draw();
	}).observe(scroller);
}

showHeader();
showThreads();
listen();
recall();
draw();
root.dataset.ready = Math.round(performance.now());
requestAnimationFrame(() => setTimeout(() => {
	root.dataset.painted = Math.round(performance.now());
}));
