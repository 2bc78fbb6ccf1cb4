// A figure of the server in the colours of the page: `meta.tone` of a trace or label and `name` of a shape name the token.
const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
export const OPTIONS = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };

export function themed({ data, layout }) {
  const axis = { gridcolor: token("rule"), linecolor: token("edge"), tickcolor: token("edge"), tickfont: { color: token("ink-2"), size: 12 } };
  for (const trace of data) {
    trace.line.color = token(trace.meta.tone);
    if (trace.marker) trace.marker.color = token(trace.meta.tone);
  }
  for (const label of layout.annotations) { label.font = { color: token(label.meta.tone), size: 12 }; delete label.meta; }
  for (const shape of layout.shapes ?? []) {
    shape.line.color = token(shape.name);
    if (shape.fillcolor) shape.fillcolor = token(shape.fillcolor);
  }
  for (const name of Object.keys(layout)) if (/^[xy]axis/.test(name)) Object.assign(layout[name], axis);
  const face = { family: getComputedStyle(document.body).fontFamily, color: token("ink-2"), size: 12 };
  Object.assign(layout, { font: face, paper_bgcolor: token("ground"), plot_bgcolor: token("ground") });
  layout.hoverlabel = { bgcolor: token("field"), bordercolor: token("edge"), font: { color: token("ink"), family: face.family } };
  layout.margin.r = innerWidth < 640 ? 16 : layout.margin.r;
  if (innerWidth < 640) for (const trace of data) if (["curve", "compare"].includes(trace.meta.kind)) delete trace.showlegend;
  if (innerWidth < 640) { layout.annotations = []; layout.showlegend = true; layout.legend = { orientation: "h", y: 1.02, yanchor: "bottom" }; }
  return { data, layout };
}
