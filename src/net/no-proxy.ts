/**
 * Does the setting `no_proxy` exempt this host? Entries are separated by commas or blanks: a host name (also
 * exempts its subdomains), `.domain`, `*.domain` (subdomains only), `*`, an address, an IPv4 block
 * `10.0.0.0/8`; each but the last with an optional `:port`. This follows curl and the usual meaning of the
 * environment variable NO_PROXY.
 */
export function bypassesProxy(hostname: string, port: number, noProxy: string | undefined): boolean {
  if (!noProxy) return false;
  const host = bare(hostname);
  return noProxy.split(/[,\s]+/).some((entry) => entry !== "" && exempts(entry, host, port));
}

function bare(hostname: string): string {
  return hostname
    .toLowerCase()
    .replace(/^\[(.+)\]$/, "$1")
    .replace(/(.)\.$/, "$1");
}

function exempts(entry: string, host: string, port: number): boolean {
  const bracketed = /^\[(.+)\]:(\d+)$/.exec(entry);
  const withPort = bracketed ?? (/^[^:]+:\d+$/.test(entry) ? /^([^:]+):(\d+)$/.exec(entry) : null);
  const name = bare(withPort ? withPort[1]! : entry);
  if (withPort && Number(withPort[2]) !== port) return false;
  if (name === "*") return true;
  if (name.startsWith("*.")) return host.endsWith(name.slice(1));
  if (name.includes("/")) return inBlock(host, name);
  const suffix = name.startsWith(".") ? name.slice(1) : name;
  return host === suffix || host.endsWith(`.${suffix}`);
}

function ipv4(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255)) return undefined;
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0);
}

function inBlock(host: string, block: string): boolean {
  const [base = "", bits = ""] = block.split("/");
  const address = ipv4(host);
  const network = ipv4(base);
  const length = Number(bits);
  if (address === undefined || network === undefined || bits === "" || !(length >= 0 && length <= 32)) return false;
  const size = 2 ** (32 - length);
  return Math.floor(address / size) === Math.floor(network / size);
}
