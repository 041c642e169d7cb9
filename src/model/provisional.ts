/**
 * How long a written event may still wait on its way to the index, ms. The engine, the spools and the
 * connections must agree: what one of them forgets earlier, another still counts as sent again.
 */
export const PROVISIONAL_FOR_MS = 3_600_000;
