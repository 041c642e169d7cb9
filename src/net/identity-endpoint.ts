/**
 * Azure's endpoint for managed identities, which every Azure machine has to itself and which speaks no TLS.
 * It is the one address of another host to which this program sends a request over plain http, and it cannot
 * be configured. Source: Azure documentation, "How to use managed identities on a virtual machine to acquire
 * an access token".
 */
export const IDENTITY_ENDPOINT = "http://169.254.169.254";
