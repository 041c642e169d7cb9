/** What the reader of settings needs of Node's `path` in a browser, where no file is looked at. */
export const resolve = (text: string): string => text;

const path = {
  isAbsolute: (text: string): boolean => /^([\\/]|[A-Za-z]:[\\/])/.test(text),
  resolve,
  relative: (_from: string, to: string): string => to,
};

export default path;
