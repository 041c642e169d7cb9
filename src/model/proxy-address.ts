export interface ProxyAddress {
  /** Without the login. */
  readonly url: URL;
  /** User and password as the proxy gets them. */
  readonly login: { readonly user: string; readonly password: string } | undefined;
}

/**
 * Splits `http://user:password@host:port`; undefined when it is not an address. Without a scheme http is
 * assumed, as in environment variables. The login ends at the last `@`, because a host cannot contain one. So
 * a password with `#`, `/` or `?`, which would end the host of any other address, is taken as it stands.
 * `%XX` in a login stands for one character; any other `%` is itself.
 */
export function proxyAddress(text: string): ProxyAddress | undefined {
  const [, scheme = "http", rest = ""] = /^(?:([a-z][a-z0-9+.-]*):\/\/)?(.*)$/is.exec(text.trim()) ?? [];
  const end = rest.lastIndexOf("@");
  const login = rest.slice(0, Math.max(0, end));
  const colon = login.indexOf(":");
  const user = colon === -1 ? login : login.slice(0, colon);
  const password = colon === -1 ? "" : login.slice(colon + 1);
  try {
    return {
      url: new URL(`${scheme}://${rest.slice(end + 1)}`),
      login: user === "" && password === "" ? undefined : { user: decoded(user), password: decoded(password) },
    };
  } catch {
    return undefined;
  }
}

function decoded(text: string): string {
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (bytes) => {
    try {
      return decodeURIComponent(bytes);
    } catch {
      // Not UTF-8, so it was not written as an encoding.
      return bytes;
    }
  });
}
