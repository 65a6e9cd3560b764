"use strict";
(() => {
  const root = document.documentElement;
  const places = [...document.querySelectorAll("[data-figure]")];
  const source = document.getElementById("figures").textContent;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const PAPER = 660; // CSS pixels of a printed page's text

  // plotly.js is carried compressed; every browser since 2023 can unpack it.
  async function load() {
    if (!("DecompressionStream" in window)) throw new Error("this browser cannot unpack them");
    const text = document.getElementById("plotly").textContent;
    const bytes = Uint8Array.from(atob(text.trim()), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  }

  // Colours are given as names of CSS variables.
  function figures() {
    const style = getComputedStyle(root);
    const resolve = (key, value) =>
      typeof value === "string" && value.startsWith("--") && /color$/.test(key) ? style.getPropertyValue(value).trim() : value;
    return [JSON.parse(source, resolve), style];
  }

  function complete(layout, style, width) {
    const get = (name) => style.getPropertyValue(name).trim();
    const narrow = width < 520;
    const size = narrow ? 11 : 13;
    const axis = { automargin: true };
    const titled = (own) => ({ ...axis, ...own, title: { font: { size }, standoff: 8, ...own.title } });
    return {
      autosize: true,
      ...layout,
      width,
      height: layout.height,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size, color: get("--text") },
      margin: { l: narrow ? 48 : 64, r: 12, t: 12, b: 48 },
      legend: { orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom" },
      hoverlabel: { align: "left", bgcolor: get("--panel"), bordercolor: get("--line"), font: { color: get("--text") } },
      xaxis: titled(layout.xaxis),
      yaxis: titled(layout.yaxis),
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", // a finger scrolls the page
    };
  }

  function draw(paper) {
    const [all, style] = figures();
    for (const place of places) {
      const figure = all[place.dataset.figure];
      if (!figure) continue;
      const half = place.closest(".pair") !== null;
      const width = paper ? (half ? paper / 2 - 20 : paper) : place.clientWidth;
      const height = figure.layout.height || parseInt(place.style.minHeight, 10);
      const layout = complete({ ...figure.layout, height }, style, width);
      Plotly.react(place, figure.data, layout, { displayModeBar: false });
    }
  }

  function fail(error) {
    for (const place of places) {
      place.style.minHeight = "0";
      place.textContent = `The figure cannot be drawn (${error.message}); the tables hold the numbers.`;
    }
  }

  let waiting = 0;
  function redraw() {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => draw(0));
  }

  // Paper cannot be unfolded.
  const folded = [];
  addEventListener("beforeprint", () => {
    folded.splice(0, Infinity, ...document.querySelectorAll("details:not([open])"));
    for (const details of folded) details.open = true;
  });
  addEventListener("afterprint", () => { for (const details of folded) details.open = false; });

  load().then(() => {
    draw(0);
    dark.addEventListener("change", redraw);
    addEventListener("resize", redraw);
    addEventListener("beforeprint", () => { root.dataset.print = ""; draw(PAPER); });
    addEventListener("afterprint", () => { delete root.dataset.print; redraw(); });
    root.dataset.ready = "";
  }).catch(fail);
})();
