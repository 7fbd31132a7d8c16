/** Too short to be a key: replacing it would tear words apart. */
const minSecretLength = 8

/**
 * The last line of defence for everything that is printed or logged: takes the secrets and the credentials of URLs out of
 * a text. Errors of other packages and of the user's own configuration can hold either.
 */
export function redact(text: string, secrets: readonly (string | undefined)[]): string {
  // Up to the last @ of the word: a password that is not percent-encoded can hold an @, a slash or a #. The example of
  // our own hints stays readable, and so does the @ in the path of a web address, which an id of an object can be.
  let clean = text.replace(
    /([a-z][a-z0-9+.-]*:\/\/)(?!user:password@)(?!(?<=\bhttps?:\/\/)[a-z0-9.-]+[/?#])[^\s'"`<>]+@/gi,
    '$1[hidden]@',
  )
  clean = clean.replace(/\b(password|sslpassword)=[^\s&'"]+/gi, '$1=[hidden]')
  for (const secret of secrets) {
    if (secret !== undefined && secret.length >= minSecretLength) clean = clean.replaceAll(secret, '[hidden]')
  }
  return clean
}
