/** The routes of the server below `<base>/ranni/v1/`, as docs/api.md has them. */

/** Why there is no answer: the code and the filling of a text, like a fault of a document. */
export class ServiceError extends Error {
	/** @param {string} code @param {string | number} [about] @param {number} [status] of HTTP, or 0 */
	constructor(code, about = "", status = 0) {
		super(`${code} ${about}`);
		this.code = code;
		this.args = [about];
		this.status = status;
	}
}

/** @type {BaseOf} */
export function baseOf(moduleUrl) {
	const { origin, pathname } = new URL(moduleUrl);
	const found = /^(.*?)\/file=|^(.*)\/ranni\/javascript\//.exec(pathname);
	return origin + (found?.[1] ?? found?.[2] ?? "");
}

/** @type {WordsOf} */
export const wordsOf = (problems) =>
	problems.map(({ path, message }) => (path ? `${path}: ${message}` : message));

/** @type {EventParser} */
export function eventParser(on) {
	let [rest, event, data] = ["", "", ""];
	return (piece) => {
		// A CR at the end waits for what may be its LF.
		const lines = (rest + piece).split(/\r\n|\n|\r(?!$)/);
		rest = lines.pop() ?? "";
		for (const line of lines) {
			const [name, value] = line.split(/: ?(.*)/s, 2);
			if (name === "event") event = value;
			else if (name === "data") data += `${value ?? ""}\n`;
			if (line) continue;
			if (data) on(event, data);
			event = data = "";
		}
	};
}

/** @type {AskUrl} */
async function ask(url, init, type = "application/json") {
	const answer = await fetch(url, init).catch(() => {
		init.signal?.throwIfAborted();
		throw new ServiceError("network");
	});
	const { status } = answer;
	// Whoever asks for a login may do so with a page that is sent as if all were well.
	if (answer.ok && answer.headers.get("Content-Type")?.startsWith(type)) return answer;
	const known = { 401: "login", 403: "login", 409: "taken" }[status];
	if (known) throw new ServiceError(known, "", status);
	const { error, problems = [] } = await answer.json().catch(() => ({}));
	if (typeof error !== "string") throw new ServiceError("answer", status, status);
	throw new ServiceError("server", [error, ...wordsOf(problems.slice(0, 3))].join("; "), status);
}

/** @type {Posted} */
const posted = (body, type = "application/json") => ({
	method: "POST",
	headers: { "Content-Type": type },
	body,
});

/** @type {CreateService} */
export function createService(base) {
	/** @type {Get} */
	const get = async (route, init = {}) => {
		const answer = await ask(`${base}/ranni/v1/${route}`, init);
		return answer.json().catch(() => {
			throw new ServiceError("cut");
		});
	};
	/** @type {(route: string) => Post} */
	const post = (route) => (body) => get(route, posted(JSON.stringify(body)));

	/** @type {(route: Route) => Ask} */
	const stream = (route) => async (request, on, signal) => {
		const init = { ...posted(JSON.stringify({ ...request, stream: true })), signal };
		const answer = await ask(`${base}/ranni/v1/${route}`, init, "text/event-stream");
		/** @type {any} */
		let [end, failed] = [null, false];
		const push = eventParser((event, data) => {
			const value = JSON.parse(data);
			failed ||= event === "failed";
			if (failed || event === "done") end ??= value;
			else if (!end) on(event, value);
		});
		const reader = /** @type {ReadableStream<Uint8Array>} */ (answer.body).getReader();
		const decoder = new TextDecoder();
		while (!end) {
			const piece = await reader.read().catch(() => null);
			signal.throwIfAborted();
			if (!piece?.value) throw new ServiceError("cut");
			push(decoder.decode(piece.value, { stream: true }));
		}
		if (failed) throw new ServiceError(end.cancelled ? "cancelled" : "server", end.error);
		return end;
	};

	return {
		plan: stream("plan"),
		edit: stream("edit"),
		version: () => get("version"),
		import: post("import"),
		export: post("export"),
		open: (file) => get("open", posted(file, "application/octet-stream")),
		panels: {
			list: () => get("panels"),
			load: post("panels/load"),
			save: post("panels/save"),
			rename: post("panels/rename"),
			delete: post("panels/delete"),
		},
		tokens: async (texts) => (await post("tokens")({ texts })).counts,
		loras: async () => (await get("loras")).names,
	};
}
