import type { ReadonlySignal, Signal } from "./signals-core.js";

export * from "./signals-core.js";
export function useComputed<T>(compute: () => T): ReadonlySignal<T>;
export function useSignal<T>(value: T): Signal<T>;
export function useSignalEffect(run: () => unknown): void;
