/** What the parser of CSV needs of Node's `Buffer` in a browser. */
export { Buffer } from "buffer/";
