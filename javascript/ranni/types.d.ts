/** What the parts of the editor share and what their functions do. The type checker reads it, a browser never does. */

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
type Post = (body: Json) => Promise<any>;
/** Takes and gives the routes' own JSON; raises `ServiceError`, or what its signal was aborted with. */
type Service = {
	plan: Ask;
	edit: Ask;
	version(): Promise<any>;
	import: Post;
	export: Post;
	/** A picture or a text that holds a panel. */
	open(file: Blob): Promise<any>;
	panels: { list(): Promise<any>; load: Post; save: Post; rename: Post; delete: Post };
	/** The tokens of each text, and the room for them. */
	tokens(texts: readonly string[]): Promise<[number, number][]>;
	loras(): Promise<string[]>;
};
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
	store: Store;
	viewport: Viewport;
	actions: Actions;
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
	/** Bring back what the picture at an address was drawn with; the next one keeps the rest of it. */
	edit: (url: string) => void;
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
type Actions = Record<string, () => unknown>;
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
type Store = {
	state: State;
	readonly panel: Panel;
	readonly selection: Ids;
	/** The elements that are selected. */
	readonly chosen: readonly PanelElement[];
	/** The elements that the canvas shows. */
	readonly visible: readonly PanelElement[];
	readonly canUndo: boolean;
	readonly canRedo: boolean;
	/**
	 * Apply a command; returns whether anything changed. Steps in a row with the same `run` become one; selecting
	 * is no step, but ends a run.
	 */
	apply(command: Command, run?: string | null): boolean;
	/** End the present run, or this one if it still runs: the next command is a step of its own. */
	seal(run?: string | null): void;
	/** Take back the present run as if it had not begun. */
	cancel(run: string): void;
	undo(): void;
	redo(): void;
	/** Call `listener` after every change. */
	subscribe(listener: Hear): void;
};
type Viewport = {
	zoom: number;
	/** The stage's size in pixels, and the canvas's width / height. */
	fit(width: number, height: number, shape: number): void;
	reset(): void;
	/** The canvas on the stage. */
	readonly page: Rect;
	/** A box in pixels of the stage. */
	rect(box: Box): Rect;
	/** A place on the stage in units of the canvas. */
	toCanvas(px: number, py: number): [number, number];
	/** Move the canvas by pixels; part of it always stays in sight. */
	pan(dx: number, dy: number): void;
	/** Zoom so that the place under (px, py) stays there. */
	zoomAbout(px: number, py: number, factor: number): void;
};
type Warnings = {
	/** What to know about an element, in words. */
	of(id: string): string[];
	/** How much of its room a text takes, where that is known. */
	tokens(text: string): string;
};
type CreateField = (context: Context, options: FieldOptions) => Field;
/** A field that is a list: a row of inputs for each record, and one more to add to them. */
type CreateListField = (context: Context, options: ListOptions) => ListField;
type CreateNotice = (context: Context, restart: () => void) => Notice;
/** A panel in place of the present one, if the user agrees. Any change of the panel withdraws it. */
type CreateProposal = (context: Context, ended: (how: string) => void) => Proposal;

// backdrop.mjs

type Wish = { kind: string; opacity: number };
/** Whether a picture comes from here: from the host, or from what the page itself holds. */
type IsOurs = (url: string) => boolean;
type Labeled = (name: string, input: Element, ...parts: Node[]) => HTMLElement;

// canvas.mjs

/** The color that stands for the element at `index`, as in `lib_ranni.panel.preview`. */
type ColorOf = (index: number) => string;
/** The start of a text, on one line. */
type Shortened = (text: string, most?: number) => string;
type DrawElement = (element: PanelElement, index: number, isChosen: boolean, view: any) => void;

// commands.mjs

type IsSame = (a: readonly any[], b: readonly any[]) => boolean;
type WithState = (state: State, changes: Partial<State>) => State;
/** The panel changed by hand: its prompt no longer describes it. */
type Edited = (state: State, changes: Partial<Panel>, selection?: Ids) => State;
type WithElements = (state: State, elements: PanelElement[], selection?: Ids) => State;
type WithField = (element: PanelElement, name: string, value: any) => PanelElement;
/** The element in another box; its keypoints follow, a mask no longer fits and goes. */
type Placed = (element: PanelElement, to: Box) => PanelElement;
type OpenElements = (state: State, ids: Ids) => readonly PanelElement[];
/** The chosen elements that are seen and open: those that handles are drawn around. */
type Grasped = (state: State) => readonly PanelElement[];
type OfIds = (ids: Ids) => Command;
/** Select these, in the panel's order. */
type Select = OfIds;
/** Select one more, or one less. */
type ToggleSelected = (id: string) => Command;
/**
 * Put elements, each with a description and a box, in front (with ids of their own, open, copies a little
 * aside) and select them.
 */
type Insert = (items: readonly Readonly<Record<string, any>>[]) => Command;
/** A box shifted right and down, or left and up where there is no room. */
type Besides = (box: Box) => Box;
/** A new element in front, where there is most room unless a box says where. */
type Add = (description: string, box?: Box) => Command;
/** Put elements into these boxes. */
type Place = (boxes: ReadonlyMap<string, Box>) => Command;
/** Put those of these elements that are open into the boxes that their boxes give. */
type Arrange = (ids: Ids, arrange: (boxes: Box[]) => Box[]) => Command;
/** Shift elements together, as far as the canvas allows. */
type CommandMove = (ids: Ids, dx: number, dy: number) => Command;
/** Move the right and lower edges of elements. */
type Resize = (ids: Ids, dx: number, dy: number) => Command;
type Align = (ids: Ids, edge: Edge) => Command;
/** Equal gaps along an axis. */
type Distribute = (ids: Ids, axis: Axis) => Command;
/** Set a field of elements; those for which the value is wrong keep theirs. */
type SetField = (ids: Ids, name: string, value: any) => Command;
/** Set a field of the panel itself; a wrong value changes nothing. */
type SetPanelField = (name: string, value: any) => Command;
/** Change the order; `elements` run from back to front. */
type Reorder = (ids: Ids, to: "front" | "back" | "forward" | "backward") => Command;
/** Show or hide on the canvas; hidden elements stay in the panel. */
type SetHidden = (ids: Ids, hide: boolean) => Command;
/** Another panel in place of this one. */
type ReplacePanel = (panel: Panel) => Command;

// document.mjs

type IsObject = (value: any) => value is Record<string, any>;
type IsText = (value: any, most: number) => boolean;
type IsWithin = (low: number, high: number) => Is;
type IsListOf = (isRight: Is) => Is;
/** Records with a name of at most so many characters. */
type IsNamed = (most: number, isRight: Is) => Is;
type Must = (code: string, isRight: Is, ...args: (string | number)[]) => Check;
/** The first fault that is found. */
type All = (...checks: Check[]) => Check;
type Optional = (check: Check) => Check;
type Limited = (low: number, high: number) => Check;
type FieldFault = (name: string, value: any) => Fault | null;
type FaultBy = (checks: Record<string, Check>) => FieldFault;
/** What is wrong with a value for a field of this element, or null. */
type ElementFault = (element: Readonly<Record<string, any>>, name: string, value: any) => Fault | null;
/** A field's value, or what its absence stands for. */
type FieldOf = (element: Readonly<Record<string, any>>, name: string) => any;
/** The first of e1, e2, ... that is not taken. */
type FreshId = (taken: Set<string>) => string;
/**
 * Read JSON text, or what JSON text decodes to; never throws. Whatever is not kept as it is becomes a
 * problem. `panel` is null where there is nothing that could be shown.
 */
type Read = (document: any) => { panel: Panel | null; problems: Problem[] };
type ReadElements = (value: any, tell: Tell) => readonly PanelElement[];
type ReadElement = (item: any, path: string, tell: Tell) => any;
type ReadBox = (value: any, path: string, tell: Tell) => Box | null;
/** Mend the fields of a record, in place; what cannot be mended goes. */
type Mend = (
	record: Record<string, any>,
	prefix: string,
	check: (name: string, value: any) => Fault | null,
	tell: Tell,
) => void;
/** The nearest right value, or undefined. */
type Mended = (value: any, wrong: Fault) => any;
/** A record of a list with its numbers within their limits. */
type Bounded = (item: any) => any;
type Decode = (document: any, tell: Tell) => any;
/** A frozen copy of a JSON value (its top stays open); what is too deep or would change is a problem. */
type Kept = (value: any, path: string, depth: number, tell: Tell) => any;

// dom.mjs

type Part = Attributes | Child;
type Filled = (tag: string, parts: Part[], make: (name: string) => Element) => any;
type Make<Map> = <K extends keyof Map & string>(tag: K | `${K}.${string}`, ...parts: Part[]) => Map[K];
/**
 * An HTML element: its tag with classes ("div.bar" is of the class `ranni-bar`), attributes and children,
 * any of which may be missing. Attributes that are functions become listeners of the event they are named
 * for; the keys in `data-text`, `data-title` and `data-label` are those of texts for `translate`.
 */
type MakeHtml = Make<HTMLElementTagNameMap>;
/** An SVG element, likewise. */
type MakeSvg = Make<SVGElementTagNameMap>;
/** A button that says the text of a key. */
type MakeButton = (key: string, click: Listener, kind?: string) => HTMLButtonElement;
/** A button with an icon, named by the text of the same key unless its attributes name it. */
type MakeTool = (name: string, click: Listener, attributes?: Attributes) => HTMLButtonElement;
/** Attributes of what has no text of its own. */
type Named = (name: string) => { title: string; "aria-label": string };
/** Set attributes where they differ; null, undefined and false remove one. */
type Update = (node: Element, attributes: Attributes) => void;
type SetClass = (node: Element, name: string, isSet: boolean) => boolean;
/** Set a node's text where it differs. */
type SetText = (node: Node, text: string) => void;
/** Have these texts, which may be anyone's, as the lines of a list. */
type SetLines = (list: Element, lines: readonly string[]) => void;
/** Give a node and those in it their texts. */
type Translate = (root: Element, t: Texts) => void;
/** Whether keys and the clipboard belong to this node itself. */
type IsField = (node: EventTarget | null) => boolean;
/** Nobody else hears of an event. */
type Consume = (event: Event) => void;
/** A function that says whether what it is given differs from the last time. */
type Watch = () => IsNew;
/** Nodes of things that have ids, in the order of the things. */
type MakeKeyed = <T extends { node: Element }>(
	parent: Element,
	make: (id: string) => T,
) => {
	get(id: string): T | undefined;
	/** Have these nodes and no others; those that are in their place are left alone. */
	arrange(ids: Ids): void;
};

// editor.mjs

/**
 * Put an editor into `root`, which must be empty.
 *
 * `onChange` is called with the document after edits, once for a drag, never for a `load`. What `load` cannot
 * show is told, and editing waits until there is something that can be shown; it returns the problems.
 */
type CreateEditor = (root: HTMLElement, options?: EditorOptions) => Editor;

// fields.mjs

/** Whether they are right; `typed` tells where they are being typed. */
type CommitRecords = (changed: readonly any[], typed?: string) => boolean;

// files.mjs

/** Do it, or say why not. */
type Attempt = (action: () => Promise<unknown>) => void;
/** Show a panel of the server's, or one alone, as one step. */
type Take = (answer: Json) => void;
/** A button to save the panel as a file. */
type Saver = (label: string, end: string, make: () => any) => Node;
/** What the server keeps, and the formats that it writes. */
type AskKept = (service: Service) => Promise<void>;
/** A field for a name; Enter does `enter`. */
type Entry = (enter: () => void, value?: string) => HTMLInputElement;
/** The field to keep the panel by a name; one that is taken is asked about. */
type Keeper = (service: Service) => Node;
/** A kept panel; renaming and deleting ask in its place. */
type KeptRow = (service: Service, name: string) => Node;

// geometry.mjs

type Clamp = (value: number, low: number, high: number) => number;
/** The low and the high edge along an axis. */
type EdgesOf = (b: Box, axis: Axis) => [low: number, high: number];
type SizeOf = (b: Box, axis: Axis) => number;
type MiddleOf = (b: Box) => [x: number, y: number];
/** Edges and center line. */
type Places = (b: Box, axis: Axis) => number[];
/** The box with other edges along an axis. */
type WithSpan = (b: Box, axis: Axis, low: number, high: number) => Box;
/** Where a handle is on a box: 0 at its low edges, 1 at its high ones. */
type HandleAt = (handle: Handle) => number[];
/** The lines between so many cells. */
type CellLines = (cells: number) => number[];
/** The box between two corners, cut to the canvas and at least `least` wide and high. */
type Between = (ax: number, ay: number, bx: number, by: number, least?: number) => Box;
/** The smallest box around all of `boxes` (at least one). */
type Bounds = (boxes: readonly Box[]) => Box;
/** A shift cut so that the box stays on the canvas. */
type AllowedShift = (b: Box, dx: number, dy: number) => [number, number];
/** The box shifted as far as the canvas allows; its size stays. */
type Moved = (b: Box, dx: number, dy: number) => Box;
type MovedAlong = (b: Box, axis: Axis, by: number) => Box;
/** The place in `to` that (x, y) has in `from`. */
type Followed = (x: number, y: number, from: Box, to: Box) => [number, number];
/** The box as part of what was `from` and becomes `to`. */
type Scaled = (b: Box, from: Box, to: Box) => Box;
/**
 * The box with the edges of `handle` brought to (x, y), cut to the canvas and never thinner than `least`
 * across or down. With `keep` its proportions stay, with `center` its center.
 */
type Resized = (
	b: Box,
	handle: Handle,
	x: number,
	y: number,
	how?: { least?: readonly number[]; keep?: boolean; center?: boolean },
) => Box;
/** Whether what lies between two places is off the canvas. */
type AreOutside = (ax: number, ay: number, bx: number, by: number) => boolean;
/** Which of the items, which run from back to front, are at (x, y); front first. */
type Hits = <T extends { box: Box }>(items: readonly T[], x: number, y: number) => T[];
/**
 * The one below the current one of those at a point, front first, beginning anew after the last; the
 * foremost if it is not there.
 */
type NextBelow = <T>(found: readonly T[], isCurrent: (item: T) => boolean) => T | undefined;
/** What a box can snap to: edges and center lines of the canvas and of other boxes, and a grid. */
type SnapLines = (others: readonly Box[], cells?: number) => Lines;
/** The line nearest to any of `values` within `tolerance`, and the shift onto it. */
type Nearest = (
	values: readonly number[],
	lines: readonly number[],
	tolerance: number,
) => { shift: number; at: number } | null;
type Snapped = { dx: number; dy: number; guides: Guide[] };
/** Snap places on both axes: what to add to them, and the guides to show. */
type Snap = (from: Lines, lines: Lines, tolerance: Record<Axis, number>) => Snapped;
/** The places of a box that snap while it moves. */
type SnapPlaces = (b: Box) => Lines;
/** The boxes with one edge (or center line) brought to that of their common bounds. */
type Aligned = (boxes: readonly Box[], edge: Edge) => Box[];
/** The boxes with equal gaps along an axis; the outermost two stay, and fewer than three. */
type Distributed = (boxes: readonly Box[], axis: Axis) => Box[];
/** A box of this size where it covers least of the others, nearest to the middle. */
type FreeBox = (others: readonly Box[], size?: number, steps?: number) => Box;
/** The area that two boxes share. */
type Overlap = (a: Box, b: Box) => number;

// gestures.mjs

type At = (event: MouseEvent) => [px: number, py: number];
/** What a press at this place begins. */
type Choose = (event: PointerEvent, begun: Gesture) => void;
/** Snap places to everything but `ids`. */
type SnapTo = (gesture: Gesture, places: Lines, ids: Ids) => Snapped;
type Drags = Record<Exclude<Gesture["kind"], "pan">, Drag>;
/** One of two fingers moves from `old`. */
type Pinch = (pointer: number, px: number, py: number, old: [number, number]) => void;

// host.mjs

/** What a selector finds in the page; as if it were any field. */
type HostFind = (selector: string) => HTMLInputElement | null;
type FindAll = (selector: string) => any[];
/** The pictures that are there, apart from those of what is being drawn. */
type Pictures = (selector: string) => HTMLImageElement[];
/** Type a text into a field, if it is there. */
type Type = (field: HTMLInputElement | null, text: string) => void;
type Bound = { look(): void; isThere(): boolean; destroy(): void };
/** One tab: the text of its panel and an editor of it. Neither answers to what came from itself. */
type Bind = (tab: string, place: HTMLElement) => Bound;
/** Say it where nothing is said yet. */
/** Say it where nothing is said yet, or in any case. */
type Fill = (name: string, said: string | null, always?: boolean) => void;
type HostSet = (name: string, value: any) => void;
/** The chosen or first picture of the tab's gallery, or the first that is no sheet of several. */
type ResultOf = (aspect: number) => string | undefined;

// inspector.mjs

/** The place or the size of a box along an axis. */
type Along = (box: Box, axis: Axis, isSize: boolean) => number;
type MakeFields = (
	names: string[],
	options: (name: string) => Omit<FieldOptions, "name"> & { name?: string },
) => Record<string, Field>;
/** How many of the shown unit the canvas has along an axis. */
type Scale = (axis: Axis) => number;
type InUnit = (value: number, axis: Axis) => number;
type SetSide = (side: string, value: number) => void;

// keyboard.mjs

/** How far a key moves, if it is an arrow. */
type ArrowOf = (event: KeyboardEvent) => number[] | undefined;
type Act = (event: KeyboardEvent, action?: () => unknown) => void;
type Nudge = (way: number[], isResized: boolean) => void;

// keypoints.mjs

type PointsOf = (element: PanelElement) => Point[];
/** The points of a body by their place in `BODY`. */
type BodyOf = (element: PanelElement) => (Point | undefined)[];
/** The points of an element as nodes; `isOpen` ones have names and can be gripped. */
type PointNodes = (element: PanelElement, page: Rect, isOpen: boolean) => SVGElement[];
/** Bodies as OpenPose writes them, in pixels: one person for each element that has any. */
type Pose = (elements: readonly PanelElement[], width: number, height: number) => Json;
/** The size of the picture in pixels. */
type PictureSize = () => [width: number, height: number];
/** Of no name: the first of a body that is missing. */
type FreshPoint = (name: string, x: number, y: number) => Point;
type SetPoints = (points: readonly Point[], run: string) => boolean;

// pictures.mjs

type Download = (name: string, content: Blob | string) => void;
/** A picture as SVG text. */
type SvgText = (picture: SVGSVGElement) => string;
/** A picture, which has a width and a height, as PNG. */
type Png = (picture: SVGSVGElement) => Promise<Blob>;
/** `#rrggbb` of a color in any of the ways to write one; undefined if it is none. */
type HexOf = (color: string) => string | undefined;
/** A picture of a panel, which needs no styles. */
type DrawPicture = (panel: Panel, aspect: number) => SVGSVGElement;

// planning.mjs

/** `lines`: what else is to be told. */
type Say = (key: string, lines?: string[], ...args: (string | number)[]) => void;

// proposal.mjs

/** Whether these are alike, in the members that count. */
type Same = (a: any, b: any, names?: string[]) => boolean;
/** A value in a sentence, whose direction it leaves alone. */
type ShownValue = (value: any) => string;
/** What becomes of a box, and the key of what to call it. */
type Way = (a: Box, b: Box) => [key: string, how: string];
/** What turns a panel into another one: marks for the canvas, and words. */
type Differences = (before: Panel, after: Panel, t: Texts) => { marks: Mark[]; words: string[] };

// service.mjs

/** The root of the host's server, which serves this code below it. */
type BaseOf = (moduleUrl: string) => string;
/** The server's problems in words. */
type WordsOf = (problems: any[]) => string[];
/** A function that takes server-sent events piece by piece and calls `on` for each event. */
type EventParser = (on: (event: string, data: string) => void) => (piece: string) => void;
type AskUrl = (url: string, init: RequestInit, type?: string) => Promise<Response>;
type Posted = (body: BodyInit, type?: string) => RequestInit;
/** What the server at `base` (no slash at its end) can be asked. */
type CreateService = (base: string) => Service;
type Get = (route: string, init?: RequestInit) => Promise<any>;
/** `on`: hears of `delta` and `element`. */
type HearEvent = (event: string, value: any) => void;
type Ask = (request: Json, on: HearEvent, signal: AbortSignal) => Promise<Answer>;

// store.mjs

type Hear = (state: State, before: State) => void;
type Become = (next: State | undefined, run?: string | null) => void;

// strings.mjs

/** Fetch the icons and the texts of a language and of the one that stands in for it. */
type LoadTexts = (language: string) => Promise<void>;
type AddTexts = (language: string, table: Record<string, string>) => unknown;
/** The text of `key` in a language (in the first one if it has none), with its places filled. */
type TextOf = (language: string, key: string, ...args: (string | number)[]) => string;

// warnings.mjs

/** The word that names what is described, without grammar: the last before more is said of it. */
type MainWord = (text: string) => string;
/** The tokens of texts, and the room for them. */
type Counts = Map<string, readonly [number, number]>;
/**
 * What to know about each element, by id, where the prompt and the base have `said` this. `size` is in
 * pixels.
 */
type WarningsOf = (
	elements: readonly PanelElement[],
	size: readonly number[] | null,
	said: string,
	counts: Counts,
) => Map<string, Fault[]>;
type Warn = (code: string, ...args: (string | number)[]) => unknown;
