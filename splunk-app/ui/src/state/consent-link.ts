/** Whether a text from outside may become a link: a `javascript:` address would run in this page. */
export function isWebAddress(text: string): boolean {
  return text.startsWith("https://");
}
