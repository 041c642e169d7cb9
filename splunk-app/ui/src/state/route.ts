/** What an address of the pages says: the part behind `#`. */
export interface Route {
  /** Empty for the first page. */
  readonly page: string;
  /** Of a customer; empty for none. */
  readonly name: string;
}

/** Any address: people type them, and programs cut them off. */
export function routeOf(hash: string): Route {
  const [, page = "", name = ""] = hash.split("/");
  return { page, name: decoded(name) };
}

/** Also that of an address without a page. */
export function showsCustomers(hash: string): boolean {
  const { page } = routeOf(hash);
  return page === "" || page === "customers";
}

/** As it is written where it cannot be decoded: a page that throws is blank. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
