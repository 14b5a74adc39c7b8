declare const htm: {
  bind(create: (type: unknown, properties: object | null, ...children: unknown[]) => unknown): (strings: TemplateStringsArray, ...values: unknown[]) => any;
};
export default htm;
