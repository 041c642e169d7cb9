/** On plain http, which is Splunk Web's default, everybody on the way can read what is typed. */
export function mustTick(): boolean {
  return location.protocol === "http:" && !/^(localhost|127\.|\[::1\])/.test(location.hostname);
}
