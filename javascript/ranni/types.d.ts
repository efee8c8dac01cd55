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
