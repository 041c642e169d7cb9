/** What the reader of settings needs of Node's `path` in a browser, where no file is looked at. */
const path = {
  isAbsolute: (text: string): boolean => /^([\\/]|[A-Za-z]:[\\/])/.test(text),
  resolve: (text: string): string => text,
  relative: (_from: string, to: string): string => to,
};

export default path;
