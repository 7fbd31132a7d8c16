import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

/** Makes and checks URLs that carry their own permission, as object storage does. */
export class UrlSigner {
  readonly #secret = randomBytes(32)
  #lastSerial = 0
  /** URLs up to this serial number have expired. */
  #expiredAll = 0
  /** The same, by path. */
  readonly #expired = new Map<string, number>()

  /** `origin` + `path` + `?expires=…&serial=…&signature=…`; `expires` in seconds since 1970. */
  sign(origin: string, method: string, path: string, expiresAt: Date): string {
    this.#lastSerial += 1
    const expires = String(Math.floor(expiresAt.getTime() / 1000))
    const serial = String(this.#lastSerial)
    const signature = this.#signature(method, path, expires, serial)
    return `${origin}${path}?expires=${expires}&serial=${serial}&signature=${signature}`
  }

  check(method: string, path: string, query: string): 'valid' | 'expired' | 'forged' {
    const parameters = new URLSearchParams(query)
    const expires = parameters.get('expires') ?? ''
    const serial = parameters.get('serial') ?? ''
    const given = Buffer.from(parameters.get('signature') ?? '')
    const right = Buffer.from(this.#signature(method, path, expires, serial))
    if (given.length !== right.length || !timingSafeEqual(given, right)) return 'forged'
    if (Number(serial) <= Math.max(this.#expiredAll, this.#expired.get(path) ?? 0)) return 'expired'
    return Number(expires) * 1000 < Date.now() ? 'expired' : 'valid'
  }

  /** Makes all URLs that were given out so far expire, or those to one path. */
  expire(path?: string): void {
    if (path === undefined) this.#expiredAll = this.#lastSerial
    else this.#expired.set(path, this.#lastSerial)
  }

  #signature(...signed: string[]): string {
    return createHmac('sha256', this.#secret).update(signed.join('\n')).digest('hex')
  }
}
