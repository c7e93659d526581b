// Sparklines: a line and the soft area below it, stretched over whatever box the SVG has.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 100;
const HEIGHT = 30;
const MARGIN = 2;

export function prepareSpark(svg) {
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  for (const name of ["area", "line"]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", name);
    svg.append(path);
  }
  return svg;
}

export const newSpark = () => prepareSpark(document.createElementNS(SVG, "svg"));

// Prices: only their movement counts, so it fills the height.
export function drawMovement(svg, values) {
  draw(svg, values, Math.min(...values), Math.max(...values), values.length);
}

// Amounts: from zero, newest at the right edge, and a burst does not flatten all the rest.
export function drawAmounts(svg, values, slots) {
  const typical = [...values].sort((a, b) => a - b)[values.length >> 1];
  draw(svg, values, 0, Math.min(Math.max(...values), 3 * typical || 1), slots);
}

function draw(svg, values, low, high, slots) {
  if (values.length < 2) return;
  const y = (value) => {
    const share = high > low ? Math.min(1, (value - low) / (high - low)) : 0.5;
    return HEIGHT - MARGIN - share * (HEIGHT - 2 * MARGIN);
  };
  const step = WIDTH / (slots - 1);
  const left = WIDTH - (values.length - 1) * step;
  const points = values.map((value, i) => `${(left + i * step).toFixed(1)},${y(value).toFixed(1)}`);
  const [area, line] = svg.children;
  line.setAttribute("d", `M${points.join("L")}`);
  area.setAttribute("d", `M${left.toFixed(1)},${HEIGHT}L${points.join("L")}L${WIDTH},${HEIGHT}Z`);
}
