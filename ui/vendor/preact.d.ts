export const Fragment: unique symbol;
export function createElement(type: unknown, properties: object | null, ...children: unknown[]): unknown;
export function render(tree: unknown, into: Element): void;
