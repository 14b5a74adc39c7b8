// A drawing that keeps the size of its place, the sharpness of the screen and the colours of the theme.
import { html, useEffect, useRef } from "../lib.js";
import { color, onColors } from "../theme_colors.js";

/**
 * What is drawn on: `width` and `height` in CSS pixels, `paint` sets the colour of a token.
 * @typedef {{ context: CanvasRenderingContext2D, width: number, height: number, token: (name: string) => string }} Surface
 */

/**
 * `canvas` is given out for pictures. It is drawn anew when one of `of` is another, at most once a frame.
 * @param {{ draw: (surface: Surface) => void, of: unknown[], height: number, canvas: { current: HTMLCanvasElement | null }, [attribute: string]: any }} properties
 */
export function Canvas({ draw, of, height, canvas, ...attributes }) {
  const latest = useRef(draw);
  latest.current = draw;
  const again = useRef(() => {});
  useEffect(() => {
    const element = canvas.current;
    const context = element?.getContext("2d");
    if (!element || !context) return undefined;
    let frame = 0;
    /** Asking the style for a colour takes longer than drawing with it. @type {Map<string, string>} */
    const colors = new Map();
    const token = (/** @type {string} */ name) => {
      if (!colors.has(name)) colors.set(name, color(name));
      return colors.get(name) ?? "";
    };
    const family = getComputedStyle(document.body).fontFamily;
    const paint = () => {
      frame = 0;
      const [width, height] = [element.clientWidth, element.clientHeight];
      const [wide, high] = [Math.round(width * devicePixelRatio), Math.round(height * devicePixelRatio)];
      if (element.width !== wide || element.height !== high) [element.width, element.height] = [wide, high];
      context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
      context.clearRect(0, 0, width, height);
      context.font = `12px ${family}`;
      context.textBaseline = "middle";
      latest.current({ context, width, height, token });
    };
    again.current = () => (frame ||= requestAnimationFrame(paint));
    const watch = new ResizeObserver(() => again.current());
    watch.observe(element);
    const stop = onColors(() => {
      colors.clear();
      paint();
    });
    return () => {
      cancelAnimationFrame(frame);
      watch.disconnect();
      stop();
    };
  }, []);
  useEffect(() => again.current(), of);
  return html`<canvas ref=${canvas} style=${{ height: `${height}px` }} ...${attributes}></canvas>`;
}

/** Text cut to a width. @param {CanvasRenderingContext2D} context @param {string} text @param {number} width */
export function fitted(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  const letter = context.measureText("n").width;
  const cut = text.slice(0, Math.max(0, Math.floor(width / letter) - 1));
  return cut.length > 1 ? `${cut}…` : "";
}
