/** What a page in Splunk Web may know of a shared credential: nothing secret. */
export interface SharedCredentialRow {
  readonly name: string;
  /** `damaged`: its entry cannot be read, so it is not used. */
  readonly kind: "client secret" | "certificate" | "assertion" | "damaged";
  readonly client_id: string | null;
  /** ISO time; null where it is not known. */
  readonly expires: string | null;
  /** Names of inputs, disabled ones too. */
  readonly used_by: readonly string[];
  /** It reads the list of customers in the provider's own tenant. */
  readonly is_home_app: boolean;
}
