// How a chart is handed to plotly.js: the library itself, traces, axes and colours.

export const MARGIN = { l: 64, r: 14, t: 8, b: 24 };
export const MOST_IN_LEGEND = 6;
export const SHORTEST_SPAN_MS = 10_000;
const OPTIONS = { staticPlot: true, displayModeBar: false, responsive: false };

/**
 * The chart library, which loads beside the page, so that the figures above are there at once.
 * `plotly` is `null` until then; `failed` tells that it will not come.
 */
export const library = { plotly: null, failed: false };

library.loading = new Promise((resolve) => {
  const script = document.createElement("script");
  script.src = "/assets/plotly.min.js";
  script.onload = () => resolve((library.plotly = window.Plotly));
  script.onerror = () => resolve((library.failed = true));
  document.head.append(script);
});

/** Draws traces into `canvas`, or draws them anew. */
export function draw(canvas, traces, layout) {
  library.plotly.react(canvas, traces, layout, OPTIONS);
}

/** Gives back what the library holds for `canvas`. */
export function purge(canvas) {
  library.plotly?.purge(canvas);
}

/** Colours of a chart's traces: a palette for a few, one ramp for many of a kind. */
export function traceColours(number, theme) {
  if (number <= theme.palette.length) return theme.palette.slice(0, number);
  return Array.from({ length: number }, (_, index) => {
    const share = index / (number - 1);
    return `hsl(${Math.round(168 + share * 96)} ${theme.rampSaturation}% ${theme.rampLightness}%)`;
  });
}

/** `colour` is what the browser computes: `rgb(r, g, b)`. */
const withAlpha = (colour, alpha) => colour.replace("rgb(", "rgba(").replace(")", `, ${alpha})`);

/** The line of one series; a lone one that never is negative is filled down to zero. */
export function lineTrace(points, series, colour, total) {
  const trace = {
    type: "scatter",
    mode: points.x.length === 1 ? "lines+markers" : "lines",
    x: points.x,
    y: points.y,
    connectgaps: false,
    hoverinfo: "skip",
    line: {
      color: colour,
      width: total > MOST_IN_LEGEND ? 1 : 1.6,
      shape: series.isSwitch ? "hv" : "linear",
    },
    marker: { size: 4, color: colour },
  };
  if (total === 1 && points.low >= 0) {
    trace.fill = "tozeroy";
    trace.fillcolor = withAlpha(colour, 0.12);
  }
  return trace;
}

/** Marks points of doubtful quality; what could not be read is marked on the chart's floor. */
export function markTrace({ x, y, colour }, floor) {
  const symbol = y.map((value) => (value === null ? "line-ns" : "x-thin"));
  return {
    type: "scatter",
    mode: "markers",
    x,
    y: y.map((value) => value ?? floor),
    hoverinfo: "skip",
    marker: { symbol, size: 6, line: { width: 1.5, color: colour } },
  };
}

/** Axes and size; ticks are computed by the page, in the reader's time zone and in units. */
export function layoutOf(frame, axis, ticks, width, height, theme) {
  return {
    width,
    height,
    margin: MARGIN,
    showlegend: false,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: theme.font, size: 11, color: theme.muted },
    xaxis: {
      type: "linear",
      range: [frame.start, frame.end],
      autorange: false,
      fixedrange: true,
      tickmode: "array",
      tickvals: ticks.positions,
      ticktext: ticks.texts,
      showgrid: false,
      zeroline: false,
      showline: true,
      linecolor: theme.line,
      linewidth: 1,
      ticks: "outside",
      ticklen: 4,
      tickcolor: theme.line,
      tickangle: 0,
    },
    yaxis: {
      type: "linear",
      range: [axis.low, axis.high],
      autorange: false,
      fixedrange: true,
      tickmode: "array",
      tickvals: axis.positions,
      ticktext: axis.texts,
      gridcolor: theme.grid,
      gridwidth: 1,
      zeroline: false,
      ticks: "outside",
      ticklen: 5,
      tickcolor: "rgba(0,0,0,0)",
    },
  };
}
