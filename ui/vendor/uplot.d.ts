type Data = readonly (readonly (number | null)[])[];

export interface Options {
  width: number;
  height: number;
  padding: number[];
  legend: { show: boolean };
  scales: Record<string, { time?: boolean; range: (plot: uPlot, min: number, max: number) => [number, number] }>;
  axes: {
    stroke: () => string;
    font: string;
    ticks: { show: boolean };
    grid: { show?: boolean; stroke?: () => string; width?: number };
    size?: number;
    gap?: number;
    splits?: (plot: uPlot) => number[];
    values: (plot: uPlot, values: number[]) => string[];
  }[];
  cursor: { points: { show: boolean }; y: boolean; drag: { x: boolean; y: boolean; setScale: boolean } };
  series: { paths?: unknown; points?: { show: boolean }; width?: number; fill?: () => string }[];
  hooks: Record<string, ((plot: uPlot) => void)[]>;
}

declare class uPlot {
  constructor(options: Options, data: Data, into: HTMLElement);
  static paths: { bars(options: { size: [share: number, most: number]; radius: number }): unknown };
  readonly ctx: CanvasRenderingContext2D;
  readonly bbox: { left: number; top: number; width: number; height: number };
  readonly cursor: { idx?: number | null };
  readonly select: { left: number; width: number };
  setData(data: Data): void;
  setSize(size: { width: number; height: number }): void;
  setCursor(place: { left: number; top: number }): void;
  setSelect(select: { left: number; top: number; width: number; height: number }, isTold: boolean): void;
  posToVal(position: number, scale: string): number;
  valToPos(value: number, scale: string, isOfCanvas?: boolean): number;
  redraw(isPathsToo: boolean): void;
  destroy(): void;
}
export default uPlot;
