// The latency strip: every notification of the last minute as a dot, on a log scale that all lanes share.
//
// It is one path whose dots are round line caps: cheap to draw, and coloured by the style sheet.

const SVG = "http://www.w3.org/2000/svg";
const SPAN_MS = 60_000;
const LEAST_MS = 0.3;
const MOST_MS = 10_000;
const LINES = [[1, "1 ms"], [10, "10 ms"], [100, "100 ms"], [1000, "1 s"], [10_000, "10 s"]];
const PADDING = 6;
/** Room for the scale, in rem: its letters grow with the screen. */
const SCALE_REM = 3.1;

export class Strip {
  #width = 0;
  #height = 0;
  #left = 0;

  constructor(element) {
    this.svg = element.appendChild(document.createElementNS(SVG, "svg"));
    this.svg.setAttribute("role", "img");
    this.svg.setAttribute("aria-label", "Latency of the notifications of the last minute, on a log scale");
    this.grid = this.svg.appendChild(document.createElementNS(SVG, "g"));
    this.median = add(this.svg, "line", { class: "median" });
    this.dots = add(this.svg, "path", { class: "dots" });
    this.pale = add(this.svg, "path", { class: "dots pale" });
    new ResizeObserver(([{ contentRect }]) => this.#resize(contentRect.width, contentRect.height)).observe(element);
  }

  /** Draw points [{atMs, latencyMs, counted}] as they are at `nowMs`, and a line at the median. */
  draw(points, nowMs, medianMs) {
    if (!this.#width) return;
    const paths = { true: "", false: "" };
    for (const { atMs, latencyMs, counted } of points) {
      const x = this.#left + (this.#width - this.#left - PADDING) * (1 - (nowMs - atMs) / SPAN_MS);
      if (x > this.#left) paths[counted] += `M${x.toFixed(1)} ${this.#y(latencyMs).toFixed(1)}h0`;
    }
    this.dots.setAttribute("d", paths.true);
    this.pale.setAttribute("d", paths.false);
    const y = medianMs === null ? -10 : this.#y(medianMs);
    for (const [name, value] of [["x1", this.#left], ["x2", this.#width], ["y1", y], ["y2", y]]) this.median.setAttribute(name, value);
  }

  #y(ms) {
    const share = Math.log(Math.min(MOST_MS, Math.max(LEAST_MS, ms)) / LEAST_MS) / Math.log(MOST_MS / LEAST_MS);
    return PADDING + (this.#height - 2 * PADDING) * (1 - share);
  }

  #resize(width, height) {
    [this.#width, this.#height] = [width, height];
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.#left = SCALE_REM * Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
    this.grid.replaceChildren();
    for (const [ms, text] of LINES) {
      const y = this.#y(ms);
      add(this.grid, "line", { x1: this.#left, x2: width, y1: y, y2: y });
      add(this.grid, "text", { x: this.#left - 6, y: y + 4 }).textContent = text;
    }
  }
}

function add(parent, name, attributes) {
  const element = parent.appendChild(document.createElementNS(SVG, name));
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
