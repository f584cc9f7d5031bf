// SPDX-License-Identifier: Apache-2.0
// The page: draws one tree of model.js on a canvas and keeps everything around it
// in step. Its whole state stands in the address, so that a view can be shared.
// Names reach the document by textContent and fillText only: they are never markup.
(() => {
	const ROW = 20; // pixels, with the gap of one
	const THIN = 0.5; // narrower boxes are drawn as one
	const TEXT_MIN = 34; // narrower boxes have no text
	const ROWS_MAX = 200; // of the table
	const SHOWN_MAX = 400; // characters of a name in the document
	const PLACE_MAX = 40; // characters of a path in the table
	const VIEW_NAMES = { mixed: "Mixed", python: "Python", native: "Native", full: "Full" };
	const root = document.documentElement;
	const $ = id => document.getElementById(id);
	const canvas = $("canvas"), scroller = $("scroller"), spacer = $("spacer");
	const context = canvas.getContext("2d", { alpha: false });

	const data = JSON.parse($("profile").textContent);
	const frames = new Frames(data.strings, data.frames);
	const threads = readThreads();
	const viewCache = {};
	const widths = new Map(); // frame -> pixels of its name
	const state = {
		view: data.view, inverted: false, lines: data.lines, shape: "", search: "",
		who: "", zoom: 0, table: innerWidth > 820, sort: "self", theme: "",
	};
	let stacks, self, tree, matches = null, functions, colours;
	let camera = { from: 0, to: 1 };
	let depthShown = 0, rects = 0, hovered = NONE, motion = 0, pending = false;

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
})();
