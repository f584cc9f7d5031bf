// SPDX-License-Identifier: Apache-2.0
// What stands around the graph: header, crumbs, table, legend, status, in words and figures.
// Names reach the document by textContent only: they are never markup.

const ROWS_MAX = 200; // of the table
const SHOWN_MAX = 400; // characters of a name in the document
const PLACE_MAX = 40; // characters of a path in the table
const VIEW_NAMES = { mixed: "Mixed", python: "Python", native: "Native", full: "Full" };

// ---- words ----

const integer = n => Math.round(n).toLocaleString("en-US");
const share = (part, whole) => whole ? part / whole : 0;
const percent = (part, whole) => {
	const p = 100 * share(part, whole);

	return `${p === 0 || p === 100 ? p : p >= 99.95 ? p.toFixed(2) : p.toFixed(1)} %`;
};
const shown = text => text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text;
const short = file => file.slice(file.lastIndexOf("/") + 1);

// The end of a long path, which tells more than its beginning.
function tail(path) {
	const parts = path.split("/");
	let end = parts.pop();

	if (path.length <= PLACE_MAX || !parts.length)
		return path;
	while (end.length + parts[parts.length - 1].length + 3 <= PLACE_MAX)
		end = `${parts.pop()}/${end}`;
	return `…/${end}`;
}

function nameOf(node) {
	return node ? frames.nameOf(tree.frame[node]) : "all";
}

function isBelow(node, other) {
	return tree.depth[node] >= tree.depth[other] && tree.start[node] >= tree.start[other] &&
		tree.start[node] + tree.total[node] <= tree.start[other] + tree.total[other];
}

function describe(node) {
	const total = tree.total[node], zoomed = tree.total[state.zoom];
	const parts = [];

	if (node) {
		const kind = frames.kind[tree.frame[node]];
		const place = frames.placeOf(tree.frame[node], state.lines);

		parts.push(KINDS[kind].name);
		if (place)
			parts.push(shown(place));
	}
	if (!state.inverted)
		parts.push(`self ${integer(tree.self[node])}`);
	parts.push(`${state.inverted ? "samples" : "total"} ${integer(total)} ` +
		`(${percent(total, tree.total[0])})`);
	if (state.zoom && isBelow(node, state.zoom))
		parts.push(`${percent(total, zoomed)} of the zoomed frame`);
	return parts;
}

function element(name, text, className) {
	const e = document.createElement(name);

	if (text !== undefined)
		e.textContent = text;
	if (className)
		e.className = className;
	return e;
}

// "name 12 %" as children of a span
function pair(words, figure, className) {
	const span = element("span", `${words} `, className);

	span.append(element("b", figure));
	return span;
}

// ---- around the graph ----

function showHeader() {
	const stats = data.stats, facts = $("facts");
	const fact = (figure, words) => {
		const span = element("span");

		span.append(element("b", figure), words ? ` ${words}` : "");
		facts.append(span);
	};

	$("title").textContent = data.title || "Flame graph";
	fact(integer(data.total), "samples");
	if (stats.seconds)
		fact(stats.seconds.toFixed(stats.seconds < 10 ? 1 : 0), "s");
	if (stats.hz)
		fact(integer(stats.hz), `Hz ${stats.event}`);
	if (data.processes.length > 1)
		fact(integer(data.processes.length), "processes");
	if (threads.length > 1)
		fact(integer(threads.length), "threads");
	if (stats.kernel)
		facts.append(element("span", `Linux ${stats.kernel} ${stats.arch}`));
	facts.append(element("span", `mixprof ${stats.mixprof}`));
	showQuality(stats);
}

function showQuality(stats) {
	const bar = element("div", undefined, "bar"), verdicts = element("p"), losses = element("p");
	const all = Object.values(stats.verdicts).reduce((a, b) => a + b, 0);
	const lost = Object.values(stats.samples.lost).reduce((a, b) => a + b, 0);
	const unreached = stats.roots.user - stats.roots.reached;

	for (const [name, count] of Object.entries(stats.verdicts)) {
		if (!count)
			continue;
		const part = element("i", undefined, `v-${name}`);

		part.style.width = `${100 * share(count, all)}%`;
		part.title = `${name}: ${integer(count)}`;
		bar.append(part);
		verdicts.append(pair(name, percent(count, all), /trunc|partial/.test(name) ? "bad" : ""));
	}
	if (stats.roots.user)
		losses.append(pair("root reached", percent(stats.roots.reached, stats.roots.user),
			unreached > stats.roots.user / 1000 ? "bad" : ""));
	losses.append(pair("lost", integer(lost), lost ? "bad" : ""));
	if (stats.samples.undelivered)
		losses.append(pair("undelivered", integer(stats.samples.undelivered)));
	if (stats.samples.unexplained)
		losses.append(pair("unexplained", integer(stats.samples.unexplained), "bad"));
	losses.title = Object.entries(stats.samples.lost).map(([k, v]) => `${k}: ${v}`).join("\n");
	if (all)
		$("quality").append(bar, verdicts);
	$("quality").append(losses);
}

function showLegend() {
	const sums = new Float64Array(KINDS.length), legend = $("legend");
	let all = 0;

	for (let n = 1; n < self.length; n++) {
		sums[frames.kind[stacks.frame[n]]] += self[n];
		all += self[n];
	}
	legend.replaceChildren();
	for (const kind of [2, 1, 4, 3, 5, 0]) {
		if (!sums[kind] && (kind === 0 || kind === 5))
			continue;
		const item = element("li", `${kind ? KINDS[kind].name : "no frame"} `);

		item.style.setProperty("--colour", `var(--${KINDS[kind].key})`);
		item.append(element("b", percent(sums[kind], all)));
		legend.append(item);
	}
}

function showCrumbs() {
	const crumbs = $("crumbs"), path = tree.path(state.zoom);
	const crumb = (node, text) => {
		const button = element("button", text);

		button.type = "button";
		button.title = shown(nameOf(node));
		button.addEventListener("click", () => zoomTo(node, true));
		button.className = node === state.zoom ? "here" : "";
		crumbs.append(button);
	};

	crumbs.replaceChildren();
	crumb(0, "all");
	path.forEach((node, i) => {
		// the whole of a deep path does not fit: its ends do
		if (i >= 2 && i < path.length - 4) {
			if (i === 2)
				crumbs.append(element("i", "› …"));
			return;
		}
		crumbs.append(element("i", "›"));
		crumb(node, shown(nameOf(node)));
	});
	crumbs.append(element("em", `${integer(tree.total[state.zoom])} samples, ` +
		percent(tree.total[state.zoom], tree.total[0])));
	if (state.zoom) {
		const reset = element("button", "Reset zoom", "reset");

		reset.type = "button";
		reset.addEventListener("click", () => zoomTo(0, true));
		crumbs.append(reset);
	}
	root.dataset.zoom = shown(nameOf(state.zoom));
	root.dataset.zoomTotal = tree.total[state.zoom];
}

function showMatched() {
	const matched = $("matched");

	matched.replaceChildren();
	delete root.dataset.matched;
	if (!matches)
		return;
	const count = tree.countMatched(state.zoom, matches);

	root.dataset.matched = count;
	matched.append(element("b", percent(count, tree.total[state.zoom])),
		state.zoom ? " of the zoomed frame" : " matched");
	matched.title = `${integer(count)} samples have a frame that matches`;
}

// The pattern that finds one function and nothing else.
function patternOf(frame) {
	const escape = text => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
	const file = frames.placeOf(frame, false);
	const place = frames.kind[frame] === KIND_PYTHON && file ? ` \\(${escape(file)}` : "$";

	return `^${escape(frames.nameOf(frame))}${place}`;
}

function showTable() {
	const order = [], body = $("rows"), rows = [];
	const figures = functions[state.sort], all = tree.total[0];
	const most = { self: 0, total: 0 };

	for (let f = 0; f < frames.count; f++)
		if (functions.total[f] && frames.kind[f] && (!matches || hasMatch(f)))
			order.push(f);
	order.sort((a, b) => figures[b] - figures[a] || functions.total[b] - functions.total[a] || a - b);
	root.dataset.functions = order.length;
	for (const f of order) {
		most.self = Math.max(most.self, functions.self[f]);
		most.total = Math.max(most.total, functions.total[f]);
	}
	for (const f of order.slice(0, ROWS_MAX))
		rows.push(tableRow(f, all, most));
	body.replaceChildren(...rows);
	$("by-self").ariaPressed = String(state.sort === "self");
	$("by-total").ariaPressed = String(state.sort === "total");
}

function hasMatch(first) {
	for (let f = first; f < frames.count && frames.first[f] === first; f++)
		if (matches[f])
			return true;
	return false;
}

function tableRow(f, all, most) {
	const row = element("tr"), label = element("td", undefined, "f");

	for (const which of ["self", "total"]) {
		const cell = element("td", undefined, "n"), count = functions[which][f];

		cell.append(element("span", percent(count, all)));
		cell.style.setProperty("--share", share(count, most[which]));
		cell.title = `${integer(count)} samples`;
		cell.dataset.samples = count;
		row.append(cell);
	}
	const where = shown(frames.placeOf(f, false)) || KINDS[frames.kind[f]].name;
	const place = element("span", tail(where));

	place.title = where;
	label.append(element("b", shown(frames.nameOf(f))), place);
	label.title = shown(frames.labelOf(f, false));
	row.append(label);
	row.style.setProperty("--colour", `var(--${KINDS[frames.kind[f]].key})`);
	row.ariaSelected = String(Boolean(state.search) && state.search === patternOf(f));
	row.tabIndex = 0;
	row.addEventListener("click", () => {
		const pattern = patternOf(f);

		setSearch(state.search === pattern ? "" : pattern);
	});
	row.addEventListener("keydown", event => {
		if (event.key === "Enter")
			row.click();
	});
	return row;
}

function showThreads() {
	const select = $("threads"), view = viewCache[state.view] ??= decodeStacks(data.views[state.view]);
	const byProcess = data.processes.map((process, index) => ({ process, index, samples: 0, list: [] }));
	const option = (value, text) => {
		const o = element("option", text);

		o.value = value;
		select.append(o);
	};

	for (let i = 0; i < view.thread.length; i++)
		threads[view.thread[i]].samples += view.samples[i];
	threads.forEach((thread, index) => {
		byProcess[thread.process].samples += thread.samples;
		byProcess[thread.process].list.push({ thread, index });
	});
	select.hidden = threads.length < 2;
	option("", data.processes.length > 1 ? "All processes" : "All threads");
	byProcess.sort((a, b) => b.samples - a.samples);
	for (const { process, index, samples, list } of byProcess) {
		if (data.processes.length > 1 && samples)
			option(`p${index}`, `${process.comm} ${process.pid} · ${percent(samples, data.total)}`);
		list.sort((a, b) => b.thread.samples - a.thread.samples);
		for (const { thread, index: t } of list.length > 1 || data.processes.length === 1 ? list : [])
			option(`t${t}`, `\u2003${thread.comm} tid ${thread.tid} · ${percent(thread.samples, data.total)}`);
	}
	select.value = state.who;
}

function showStatus(node) {
	const name = $("status-name"), detail = $("status-detail");

	if (node === NONE)
		node = state.zoom;
	name.textContent = shown(node ? frames.labelOf(tree.frame[node], state.lines) : "all");
	detail.textContent = describe(node).join(" · ");
}

function showTip(event) {
	const tip = $("tip");

	tip.hidden = hovered === NONE || !event;
	if (tip.hidden)
		return;
	const [name, place, figures] = tip.children, parts = describe(hovered);

	name.textContent = shown(nameOf(hovered));
	place.textContent = parts.filter(p => !/\d %/.test(p) && !p.startsWith("self ")).join(" · ");
	place.hidden = !place.textContent;
	figures.textContent = parts.filter(p => /\d %/.test(p) || p.startsWith("self ")).join(" · ");
	const x = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
	const below = event.clientY + 18 + tip.offsetHeight < innerHeight;
	const y = below ? event.clientY + 18 : event.clientY - tip.offsetHeight - 10;

	tip.style.transform = `translate(${Math.max(8, x)}px, ${Math.max(8, y)}px)`;
}

function showButtons() {
	const press = (id, on) => { $(id).ariaPressed = String(Boolean(on)); };

	for (const button of $("views").children)
		button.ariaPressed = String(button.value === state.view);
	press("flame", isFlame());
	press("icicle", !isFlame());
	press("invert", state.inverted);
	press("lines", state.lines);
	press("table", state.table);
	$("lines").hidden = !data.lines;
	$("panel").hidden = !state.table;
	$("empty").hidden = tree.total[0] > 0;
	$("empty").textContent = "No samples.";
	if ($("search").value !== state.search)
		$("search").value = state.search;
	Object.assign(root.dataset, {
		view: state.view, inverted: state.inverted, shape: isFlame() ? "flame" : "icicle",
		total: tree.total[0], nodes: tree.count, stacks: stacks.stacks,
	});
}
