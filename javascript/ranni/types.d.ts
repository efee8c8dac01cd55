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
type Overlay = { guides: readonly Guide[]; marquee: Box | null };

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
type MakeHtml = <K extends keyof HTMLElementTagNameMap>(
	name: K,
	attributes?: Attributes,
	...children: Child[]
) => HTMLElementTagNameMap[K];
type MakeSvg = <K extends keyof SVGElementTagNameMap>(
	name: K,
	attributes?: Attributes,
	...children: Child[]
) => SVGElementTagNameMap[K];
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
/** What a movement to (x, y) does. */
type Drag = (gesture: Gesture, x: number, y: number, event: PointerEvent) => void;
/** `seen` is what it was last drawn for. */
type DrawnElement = {
	node: SVGGElement;
	box: SVGRectElement;
	ring: SVGRectElement;
	clip: SVGSVGElement;
	back: SVGRectElement;
	label: SVGTextElement;
	seen: any[];
};
type Row = {
	node: HTMLLIElement;
	swatch: HTMLElement;
	name: HTMLButtonElement;
	mark: HTMLElement;
	tools: Record<string, HTMLButtonElement>;
	seen: string;
};
/** Pictures under the boxes; `before` lies over the other, up to `split` of the width. */
type Pictures = { url: string | null; before: string | null; split: number; opacity: number };

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
type Offer = { before: Panel; after: Panel };
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
	canvas: import("./canvas.mjs").Canvas;
	gestures: import("./gestures.mjs").Gestures;
	warnings: import("./warnings.mjs").Warnings;
	keypoints: import("./keypoints.mjs").Keypoints;
	options: { snap: boolean; grid: boolean; cells: number };
	language: string;
	size: [number, number] | null;
	aspect: number;
	t: Texts;
	service: Service | null;
	prompt: () => string;
	planner: () => string;
	told: Told;
	/** Go on from the picture at an address. */
	edit(url: string): void;
	/** While something is dragged. */
	busy: boolean;
	value(): Panel;
	/** As one step. */
	replace(panel: Panel): void;
	redraw(): void;
	flush(): void;
	/** Go to the description of what is selected. */
	describe(): void;
	keepFocus(): void;
	/** 0 shows the whole canvas. */
	zoom(factor: number): void;
	/** Say what is wrong with a document. */
	tell(problems: readonly Problem[], about: About): void;
}

// backdrop.mjs

type Want = (wish: { kind?: string; opacity?: number }) => void;
/** `url`: one from elsewhere is not shown. */
type BackdropSet = (kind: "result" | "input", url: string | null) => void;

// canvas.mjs

type DrawElement = (element: PanelElement, index: number, selected: boolean, view: string) => void;
type Make = (id: string) => DrawnElement;

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
type IsShort = (value: any, most?: number) => boolean;
type IsName = (value: any, most: number) => boolean;
type IsNumber = (low: number, high: number) => Is;
type IsWhole = (low: number, high: number) => Is;
type IsNamed = (most: number, isRight: Is) => Is;
type Must = (code: string, isRight: Is, ...args: (string | number)[]) => Check;
type All = (...checks: Check[]) => Check;
type LimitedNumber = (low: number, high: number) => Check;
type FieldFault = (name: string, value: any) => Fault | null;
type ElementFault = (element: Readonly<Record<string, any>>, name: string, value: any) => Fault | null;
type PanelFault = (name: string, value: any) => Fault | null;
type Read = (document: any) => { panel: Panel | null; problems: Problem[] };
type ReadElements = (value: any, tell: Tell) => readonly PanelElement[];
type ReadElement = (item: any, path: string, tell: Tell) => Record<string, any> | null;
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

type Update = (node: Element, attributes: Attributes) => void;
type SetText = (node: Node, text: string) => void;
type Translate = (root: HTMLElement, t: Texts) => void;

// editor.mjs

type CreateEditor = (root: HTMLElement, options?: EditorOptions) => Editor;
type SetAspect = (width: number, height: number) => void;

// fields.mjs

type FieldTell = (wrong: Fault | null, input: Element) => void;
type Frame = (tag: "label" | "div", kind: string, label: string, ...parts: Node[]) => HTMLElement;
type Aside = (text: string, title: string) => void;
type FieldDraw = (value: any, mixed?: boolean, disabled?: boolean) => void;

// files.mjs

type Try = (action: () => Promise<unknown>) => void;
/** `answer`: of the server, or one with a panel alone. */
type FileTake = (answer: any) => void;
type Saving = (label: string, end: string, make: () => any) => HTMLElement;

// geometry.mjs

type Clamp = (value: number, low: number, high: number) => number;
type Edges = (b: Box, axis: Axis) => [number, number];
type Places = (b: Box, axis: Axis) => number[];
type Between = (ax: number, ay: number, bx: number, by: number, least?: number) => Box;
type Bounds = (boxes: readonly Box[]) => Box;
type AllowedShift = (b: Box, dx: number, dy: number) => [number, number];
type Moved = (b: Box, dx: number, dy: number) => Box;
type MovedAlong = (b: Box, axis: Axis, by: number) => Box;
type Followed = (x: number, y: number, from: Box, to: Box) => [number, number];
type Scaled = (b: Box, from: Box, to: Box) => Box;
type Resized = (
	b: Box,
	handle: Handle,
	x: number,
	y: number,
	how?: { least?: readonly number[]; keep?: boolean; center?: boolean },
) => Box;
type SnapLines = (others: readonly Box[], cells?: number) => Lines;
type Nearest = (
	values: readonly number[],
	lines: readonly number[],
	tolerance: number,
) => { shift: number; at: number } | null;
type Aligned = (boxes: readonly Box[], edge: Edge) => Box[];
type Distributed = (boxes: readonly Box[], axis: Axis) => Box[];

// gestures.mjs

type At = (event: MouseEvent) => [number, number];
type Choose = (event: PointerEvent, gesture: Gesture) => void;
type Snapped = (gesture: Gesture, places: Lines, ids: Ids) => { dx: number; dy: number; guides: Guide[] };
type GestureDraw = (gesture: Gesture, x: number, y: number) => void;
type Shift = (gesture: Gesture, dx: number, dy: number) => void;
type Pinch = (moving: number, px: number, py: number) => void;

// host.mjs

type HostFind = (selector: string) => HTMLInputElement | null;
type Type = (field: HTMLInputElement | null, text: string) => void;
type Fill = (name: string, text: string | null, always?: boolean) => void;
type HostSet = (name: string, value: any) => void;

// inspector.mjs

type Along = (box: Box, axis: Axis, isSize: boolean) => number;
type InspectorMake = (
	names: string[],
	options: (name: string) => Omit<FieldOptions, "name"> & { name?: string },
) => Record<string, import("./fields.mjs").Field>;
type DrawAdvice = (one: PanelElement | null, isOpen: boolean) => void;
type SideFault = (side: string, value: number) => Fault | null;
type SetSide = (side: string, value: number) => void;

// keyboard.mjs

type Do = (event: KeyboardEvent, action: ((selection: Ids) => unknown) | undefined) => void;

// keypoints.mjs

type PointsOf = (element: PanelElement) => Point[];
type KeypointPoint = (name: string, x: number, y: number) => Point;
type KeypointSet = (points: readonly Point[], run: string) => void;
/** Returns which. */
type Put = (x: number, y: number, run: string) => number;
type KeypointMove = (index: number, x: number, y: number, run: string) => void;
/** `element`: the only one that is selected. */
type KeypointDraw = (element: PanelElement | null, open: boolean) => void;

// list.mjs

type DrawRow = (element: PanelElement, index: number, chosen: boolean, hidden: boolean) => void;
type ListSelect = (id: string, event: MouseEvent) => void;

// notice.mjs

type NoticeShow = (problems: readonly Problem[], about: About) => void;

// pictures.mjs

type Download = (name: string, content: Blob | string) => void;
type Png = (picture: SVGSVGElement) => Promise<Blob>;

// planning.mjs

type Ask = (route: Route, request: Json) => Promise<void>;
type Finish = (run: Run, asked: Panel, answer: Answer) => void;
/** `lines`: what else is to be told. */
type Say = (key: string, lines?: string[], ...args: (string | number)[]) => void;
type Key = (event: KeyboardEvent) => void;

// proposal.mjs

type Same = (a: any, b: any, names?: string[]) => boolean;
type Differences = (before: Panel, after: Panel, t: Texts) => { marks: Mark[]; words: string[] };
type Sketch = (elements: readonly PanelElement[]) => void;
type End = (how: "accepted" | "rejected" | "withdrawn") => void;

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
type Subscribe = (listener: (state: State, before: State) => void) => void;
type Step = (from: State[], to: State[]) => void;
type Become = (next: State, run?: string | null) => void;

// viewport.mjs

type Fit = (...size: [number, number, number]) => void;
type ToCanvas = (px: number, py: number) => [number, number];
type Pan = (dx: number, dy: number) => void;
type ZoomAbout = (px: number, py: number, factor: number) => void;

// warnings.mjs

type Warned = (element: PanelElement, index: number) => [string, Fault[]];
