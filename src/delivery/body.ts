const start = '{"data":['
const end = ']}'

/** What a body has beside its objects and the commas between them. */
export const emptyBodyBytes = start.length + end.length

/**
 * `{"data":[…]}` of objects that are JSON already, in bytes: each is written once, to where it belongs. Joining them to
 * one string first would copy all of it twice more.
 */
export function addBody(jsons: readonly string[]): Buffer {
  let bytes = emptyBodyBytes + jsons.length - 1
  for (const json of jsons) bytes += Buffer.byteLength(json)
  const body = Buffer.allocUnsafe(bytes)
  let at = body.write(start, 0, 'latin1')
  for (const [index, json] of jsons.entries()) {
    if (index > 0) body[at++] = 0x2c
    at += body.write(json, at)
  }
  body.write(end, at, 'latin1')
  return body
}
