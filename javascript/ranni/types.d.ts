/** The types that the parts of the editor share. The type checker reads them, a browser never does. */

// Geometry, in units of the canvas unless it says pixels.

type Axis = "x" | "y";
type Sides = [x0: number, y0: number, x1: number, y1: number];
type Box = Readonly<{ x0: number; y0: number; x1: number; y1: number }>;
/** In pixels of the stage. */
type Rect = { x: number; y: number; width: number; height: number };
type Handle = "n" | "ne" | "e" | "se" | "s" | "sw" | "w" | "nw";
type Edge = "left" | "center" | "right" | "top" | "middle" | "bottom";
/** Places on both axes to snap to. */
type Lines = { x: number[]; y: number[] };
/** A line that something has snapped to. */
type Guide = { axis: Axis; at: number };
type Overlay = { guides?: readonly Guide[]; marquee?: Box };

// The document

/** A key of the strings table and what fills it. */
type Fault = { code: string; args: (string | number)[] };
type Problem = Fault & { path: string };
/** Whether a value is right. */
type Is = (value: any) => unknown;
type Check = (value: any) => Fault | null;
/** Notes a problem of what is read. */
type Tell = (code: string, path: string, ...args: (string | number)[]) => void;

type PanelElement = Readonly<{ id: string; description: string; box: Box; [field: string]: any }>;
/** `elements` run from back to front. */
type Panel = Readonly<{ version: 1; elements: readonly PanelElement[]; [field: string]: any }>;
type Point = { name: string; x: number; y: number };

// State

type Ids = readonly string[];
type State = Readonly<{ panel: Panel; selection: Ids; hidden: Ids }>;
type Command = (state: State) => State;

// Nodes

type Listener = (event: any) => unknown;
type OnKey = (event: KeyboardEvent) => void;
type OnPointer = (event: PointerEvent) => void;
type Attributes = Record<string, string | number | boolean | null | undefined | Listener>;
type Child = Node | string | null | undefined | false;
/** The text of a key, with its places filled. */
type Texts = (key: string, ...args: (string | number)[]) => string;

// The canvas

type Gesture = {
	kind: "move" | "resize" | "draw" | "marquee" | "pan" | "point";
	pointer: number;
	/** Where it began, in pixels and in units of the canvas. */
	px: number;
	py: number;
	x: number;
	y: number;
	/** The state that every movement starts from. */
	before: State;
	run: string;
	began: boolean;
	/** Whether it snaps, as the keys that are held now say. */
	snaps: boolean;
	handle?: Handle;
	point?: number;
	/** What a press without movement selects. */
	click?: string[];
};
/** What a movement to (x, y) does, and what to show of it. */
type Drag = (gesture: Gesture, x: number, y: number, event: PointerEvent) => Overlay | void;
/** Says whether what it is given differs from the last time. */
type IsNew = (...values: any[]) => boolean;
type DrawnElement = {
	node: SVGGElement;
	box: SVGRectElement;
	ring: SVGRectElement;
	clip: SVGSVGElement;
	back: SVGRectElement;
	label: SVGTextElement;
	isNew: IsNew;
};
type Row = {
	node: HTMLLIElement;
	swatch: HTMLElement;
	name: HTMLButtonElement;
	mark: HTMLElement;
	tools: (readonly [string, HTMLButtonElement])[];
	isNew: IsNew;
};
/** Pictures under the boxes; `before` lies over the other, up to `split` of the width. */
type Shown = { url: string | null; before: string | null; split: number; opacity: number };

// Fields

type FieldOptions = {
	name: string;
	/** The key of its label, where that is not its name. */
	label?: string;
	/** The rows of a text; a number has none. */
	rows?: number;
	/** What an arrow key adds, and its bounds. */
	step?: number;
	low?: number;
	high?: number;
	/** The key of what no value stands for, where a field may have none. */
	empty?: string;
	fault: Check;
	commit: (value: any) => void;
};
/** An input for a member of each record, or for the record; with `read`, once its text is whole. */
type Column = { member?: string; type?: "number" | "color"; label?: string; read?: (text: string) => any };
type ListOptions = {
	name: string;
	/** Of a record's label. */
	key: string;
	columns: readonly Column[];
	most?: number;
	/** The record of a text; undefined of none. */
	fresh: (text: string, records: readonly any[]) => any;
	tool?: (index: number) => Element;
};

// Planning

type Route = "plan" | "edit";
type Json = Record<string, any>;
/** To `plan` and `edit`. */
type Answer = {
	panel: any;
	report: { unread: string[]; notes: string[]; repairs: string[]; fallback: string };
	changes?: string[];
};
type Run = { route: Route; began: number; count: number; ends: AbortController };
type Mark = { kind: "added" | "gone" | "old" | "placed" | "changed"; box: Box; label?: string };

// The editor

/** What the problems are about, and the key of its text. */
type About = "mended" | "unreadable" | "pasted" | "opened";
type Service = ReturnType<typeof import("./service.mjs").createService>;
/** Hears what a file that is opened says besides its panel. */
type Told = (guidance: any, prompt: string | null, negative: string | null) => void;
/** Without a `service` nothing is planned or kept. */
type EditorOptions = {
	onChange?: (document: Panel) => void;
	language?: string;
	service?: Service | null;
	prompt?: () => string;
	planner?: () => string;
	told?: Told;
};
type Editor = {
	load(document: any): Problem[];
	value(): Panel;
	setAspect(width: number, height: number): void;
	setResult(url: string | null): void;
	setInput(url: string | null): void;
	setLanguage(code: string): void;
	flush(): void;
	destroy(): void;
};
/** What the parts of an editor share. */
interface Context {
	root: HTMLElement;
	store: import("./store.mjs").Store;
	viewport: import("./viewport.mjs").Viewport;
	canvas: Canvas;
	gestures: Gestures;
	warnings: Warnings;
	keypoints: Keypoints;
	options: { snap: boolean; grid: boolean; cells: number };
	/** Aborted at the end of the editor. */
	gone: AbortSignal;
	language: string;
	size: [number, number] | null;
	/** Width / height of the canvas. */
	readonly aspect: number;
	/** While something is dragged. */
	readonly isBusy: boolean;
	t: Texts;
	service: Service | null;
	prompt: () => string;
	planner: () => string;
	told: Told;
	value: () => Panel;
	/** As one step. */
	replace: (panel: Panel) => void;
	redraw: () => void;
	flush: () => void;
	/** Go to the description of what is selected. */
	describe: () => void;
	/** Keep the keyboard on the canvas when what had the focus is gone. */
	keepFocus: () => void;
	/** 0 shows the whole canvas. */
	zoom: (factor: number) => void;
	/** Say what is wrong with a document. */
	tell: (problems: readonly Problem[], about: About) => void;
}

// The parts of an editor

type Create<T> = (context: Context) => T;
type Drawn = { node: HTMLElement; draw(): void };
type Backdrop = Drawn & {
	/** `url`: one from elsewhere is not shown. */
	set(kind: "result" | "input", url: string | null): void;
};
type Canvas = {
	node: SVGSVGElement;
	/** The id of the element that has the focus. */
	readonly focused: string | null;
	/** Give the only one of these elements the focus, or the canvas itself. */
	focus(ids?: Ids): void;
	show(pictures: Shown): void;
	draw(overlay: Overlay): void;
};
type Field = {
	node: HTMLElement;
	input: HTMLInputElement | HTMLTextAreaElement;
	/** A word beside the label. */
	aside(text: string, title: string): void;
	/** Show a value; `isMixed` where several elements differ. */
	draw(value: any, isMixed?: boolean, disabled?: boolean): void;
};
type ListField = {
	node: HTMLElement;
	/** What there is to choose from. */
	offer(values: readonly string[]): void;
	/** What is typed to be added, which is then gone. */
	take(): string;
	/** `next` is what no text stands for. */
	draw(chosen: readonly PanelElement[], isOpen: boolean, next?: string): void;
};
type Gestures = {
	overlay: Overlay;
	/** Whether the space bar is down, so that dragging pans. */
	spaceHeld: boolean;
	/** Whether something is being dragged. */
	readonly isBusy: boolean;
	/** Give up what is being dragged, as if it had not begun; returns whether there was anything. */
	cancel(): boolean;
};
type Inspector = Drawn & {
	keypoints: Keypoints;
	/** Only where things lie, while they are dragged. */
	drawSides(): void;
	/** Go to the description, ready to be written over. */
	describe(): void;
};
type Keypoints = {
	node: HTMLElement;
	/** Whether a press on the canvas puts down a point. */
	isPlacing: boolean;
	/** Put points down from now on, or no longer. */
	toggle(): void;
	/** Put down the next point; returns which. */
	put(x: number, y: number, run: string): number;
	move(index: number, x: number, y: number, run: string): void;
	/** `element`: the only one that is selected. */
	draw(element: PanelElement | null, isOpen: boolean): void;
};
type Notice = Drawn & { show(problems: readonly Problem[], about: About): void };
type Planning = Drawn & {
	/** Above the canvas; `node` is below it. */
	bar: HTMLElement;
};
type Proposal = Drawn & {
	readonly isOpen: boolean;
	/** Show what is being planned. */
	sketch(elements: readonly PanelElement[]): void;
	/** Returns the number of changes; without any there is nothing to offer. */
	offer(after: Panel): number;
	accept(): void;
	end(how: string): void;
};
type Warnings = {
	/** What to know about an element, in words. */
	of(id: string): string[];
	/** How much of its room a text takes, where that is known. */
	tokens(text: string): string;
};
type CreateField = (context: Context, options: FieldOptions) => Field;
type CreateListField = (context: Context, options: ListOptions) => ListField;
type CreateNotice = (context: Context, restart: () => void) => Notice;
type CreateProposal = (context: Context, ended: (how: string) => void) => Proposal;

// backdrop.mjs

type Wish = { kind: string; opacity: number };
type Labeled = (name: string, input: Element, ...parts: Node[]) => HTMLElement;

// canvas.mjs

type DrawElement = (element: PanelElement, index: number, isChosen: boolean, view: any) => void;

// commands.mjs

type IsSame = (a: readonly any[], b: readonly any[]) => boolean;
type WithState = (state: State, changes: Partial<State>) => State;
type Edited = (state: State, changes: Partial<Panel>, selection?: Ids) => State;
type WithElements = (state: State, elements: PanelElement[], selection?: Ids) => State;
type WithField = (element: PanelElement, name: string, value: any) => PanelElement;
type Placed = (element: PanelElement, to: Box) => PanelElement;
type OpenElements = (state: State, ids: Ids) => readonly PanelElement[];
/** each with description and box */
type Insert = (items: readonly Readonly<Record<string, any>>[]) => Command;
type Add = (description: string, box?: Box) => Command;
type Place = (boxes: ReadonlyMap<string, Box>) => Command;
type Arrange = (ids: Ids, arrange: (boxes: Box[]) => Box[]) => Command;
type CommandMove = (ids: Ids, dx: number, dy: number) => Command;
type Resize = (ids: Ids, dx: number, dy: number) => Command;
type Align = (ids: Ids, edge: Edge) => Command;
type Distribute = (ids: Ids, axis: Axis) => Command;
type SetField = (ids: Ids, name: string, value: any) => Command;
type SetPanelField = (name: string, value: any) => Command;
type Reorder = (ids: Ids, to: "front" | "back" | "forward" | "backward") => Command;
type SetHidden = (ids: Ids, hide: boolean) => Command;

// document.mjs

type IsObject = (value: any) => value is Record<string, any>;
type IsText = (value: any, most: number) => boolean;
type IsWithin = (low: number, high: number) => Is;
type Must = (code: string, isRight: Is, ...args: (string | number)[]) => Check;
type FieldFault = (name: string, value: any) => Fault | null;
type FieldOf = (element: Readonly<Record<string, any>>, name: string) => any;
type ElementFault = (element: Readonly<Record<string, any>>, name: string, value: any) => Fault | null;
/** `panel` is null where there is nothing that could be shown. */
type Read = (document: any) => { panel: Panel | null; problems: Problem[] };
type ReadElement = (item: any, path: string, tell: Tell) => any;
type ReadBox = (value: any, path: string, tell: Tell) => Box | null;
type Mend = (
	record: Record<string, any>,
	prefix: string,
	check: (name: string, value: any) => Fault | null,
	tell: Tell,
) => void;
type Mended = (value: any, wrong: Fault) => any;
type Decode = (document: any, tell: Tell) => any;
type Kept = (value: any, path: string, depth: number, tell: Tell) => any;

// dom.mjs

type Part = Attributes | Child;
type Filled = (tag: string, parts: Part[], make: (name: string) => Element) => any;
type Make<Map> = <K extends keyof Map & string>(tag: K | `${K}.${string}`, ...parts: Part[]) => Map[K];
type MakeHtml = Make<HTMLElementTagNameMap>;
type MakeSvg = Make<SVGElementTagNameMap>;
type MakeButton = (key: string, click: Listener, kind?: string) => HTMLButtonElement;
type MakeTool = (name: string, click: Listener, attributes?: Attributes) => HTMLButtonElement;
type Update = (node: Element, attributes: Attributes) => void;
type SetClass = (node: Element, name: string, isSet: boolean) => boolean;
type SetText = (node: Node, text: string) => void;
type SetLines = (list: Element, lines: readonly string[]) => void;
type Translate = (root: Element, t: Texts) => void;
type MakeKeyed = <T extends { node: Element }>(
	parent: Element,
	make: (id: string) => T,
) => {
	get(id: string): T | undefined;
	/** Have these nodes and no others; those that are in their place are left alone. */
	arrange(ids: Ids): void;
};

// editor.mjs

type CreateEditor = (root: HTMLElement, options?: EditorOptions) => Editor;

// fields.mjs

type CommitRecords = (changed: readonly any[], typed?: string) => boolean;

// geometry.mjs

type Clamp = (value: number, low: number, high: number) => number;
type WithSpan = (b: Box, axis: Axis, low: number, high: number) => Box;
type Between<T> = (ax: number, ay: number, bx: number, by: number, least?: number) => T;
type Bounds = (boxes: readonly Box[]) => Box;
type AllowedShift = (b: Box, dx: number, dy: number) => [number, number];
type Moved = (b: Box, dx: number, dy: number) => Box;
type Followed = (x: number, y: number, from: Box, to: Box) => [number, number];
type Scaled = (b: Box, from: Box, to: Box) => Box;
type Resized = (
	b: Box,
	handle: Handle,
	x: number,
	y: number,
	how?: { least?: readonly number[]; keep?: boolean; center?: boolean },
) => Box;
type Hits = <T extends { box: Box }>(items: readonly T[], x: number, y: number) => T[];
type NextBelow = <T>(found: readonly T[], isCurrent: (item: T) => boolean) => T | undefined;
type SnapLines = (others: readonly Box[], cells?: number) => Lines;
type Nearest = (
	values: readonly number[],
	lines: readonly number[],
	tolerance: number,
) => { shift: number; at: number } | null;
type Snapped = { dx: number; dy: number; guides: Guide[] };
type Snap = (from: Lines, lines: Lines, tolerance: Record<Axis, number>) => Snapped;
type Aligned = (boxes: readonly Box[], edge: Edge) => Box[];
type Distributed = (boxes: readonly Box[], axis: Axis) => Box[];

// gestures.mjs

type SnapTo = (gesture: Gesture, places: Lines, ids: Ids) => Snapped;
type Pinch = (pointer: number, px: number, py: number, old: [number, number]) => void;

// host.mjs

type HostFind = (selector: string) => HTMLInputElement | null;
type Pictures = (selector: string) => HTMLImageElement[];
type Type = (field: HTMLInputElement | null, text: string) => void;

// inspector.mjs

type Along = (box: Box, axis: Axis, isSize: boolean) => number;
type MakeFields = (
	names: string[],
	options: (name: string) => Omit<FieldOptions, "name"> & { name?: string },
) => Record<string, Field>;

// keypoints.mjs

type PointNodes = (element: PanelElement, page: Rect, isOpen: boolean) => SVGElement[];
type Pose = (elements: readonly PanelElement[], width: number, height: number) => Json;

// pictures.mjs

type Download = (name: string, content: Blob | string) => void;
type Png = (picture: SVGSVGElement) => Promise<Blob>;

// planning.mjs

/** `lines`: what else is to be told. */
type Say = (key: string, lines?: string[], ...args: (string | number)[]) => void;

// proposal.mjs

type Same = (a: any, b: any, names?: string[]) => boolean;
type Differences = (before: Panel, after: Panel, t: Texts) => { marks: Mark[]; words: string[] };

// service.mjs

type Get = (route: string, init?: RequestInit) => Promise<any>;
/** `on`: hears of `delta` and `element`. */
type Stream = (
	route: Route,
	request: Json,
	on: (event: string, value: any) => void,
	signal: AbortSignal,
) => Promise<Answer>;

// store.mjs

/** Returns whether anything changed. */
type Apply = (command: Command, run?: string | null) => boolean;
type Hear = (state: State, before: State) => void;

// strings.mjs

type TextOf = (language: string, key: string, ...args: (string | number)[]) => string;

// viewport.mjs

type Fit = (...size: [number, number, number]) => void;
type ToCanvas = (px: number, py: number) => [number, number];
type Pan = (dx: number, dy: number) => void;
type ZoomAbout = (px: number, py: number, factor: number) => void;

// warnings.mjs

/** The tokens of texts, and the room for them. */
type Counts = Map<string, readonly [number, number]>;
/** `size` is in pixels. */
type WarningsOf = (
	elements: readonly PanelElement[],
	size: readonly number[] | null,
	said: string,
	counts: Counts,
) => Map<string, Fault[]>;
