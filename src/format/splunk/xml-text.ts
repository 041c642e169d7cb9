/** Text for XML 1.0 documents and JSON inside of them. */

const MARKUP: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/** What XML 1.0 (section 2.2, Char) does not allow at all, not even as a reference. */
const FORBIDDEN = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu;

/**
 * Text as content or attribute value (in double quotes); what XML cannot hold becomes U+FFFD, a line break a
 * reference.
 */
export function xmlText(text: string): string {
  return text
    .replace(FORBIDDEN, "\ufffd")
    .replace(/[&<>"]/g, (sign) => MARKUP[sign]!)
    .replace(/[\r\n\t]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

/**
 * JSON that an XML document can hold once `&`, `<` and `>` are escaped: the two characters that
 * JSON.stringify leaves are written as escapes.
 */
export function jsonForXml(value: unknown): string {
  return JSON.stringify(value).replace(/[\ufffe\uffff]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16)}`);
}

/** `&`, `<` and `>` of text that holds nothing XML forbids. */
export function escapeMarkup(text: string): string {
  return /[&<>]/.test(text) ? text.replace(/[&<>]/g, (sign) => MARKUP[sign]!) : text;
}
