import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

/** Makes and checks URLs that carry their own permission, as object storage does. */
export class UrlSigner {
  readonly #secret = randomBytes(32)

  /** `origin` + `path` + `?expires=…&signature=…`; `expires` in seconds since 1970. */
  sign(origin: string, method: string, path: string, expiresAt: Date): string {
    const expires = String(Math.floor(expiresAt.getTime() / 1000))
    return `${origin}${path}?expires=${expires}&signature=${this.#signature(method, path, expires)}`
  }

  check(method: string, path: string, query: string): 'valid' | 'expired' | 'forged' {
    const parameters = new URLSearchParams(query)
    const expires = parameters.get('expires') ?? ''
    const given = Buffer.from(parameters.get('signature') ?? '')
    const right = Buffer.from(this.#signature(method, path, expires))
    if (given.length !== right.length || !timingSafeEqual(given, right)) return 'forged'
    return Number(expires) * 1000 < Date.now() ? 'expired' : 'valid'
  }

  #signature(method: string, path: string, expires: string): string {
    return createHmac('sha256', this.#secret).update(`${method}\n${path}\n${expires}`).digest('hex')
  }
}
