import { setTimeout as sleep } from 'node:timers/promises'
import { code, dim, line } from './print.js'

/** Generous: a busy machine is slow, but an example that waits for ever tells nobody anything. */
const deadlineMs = 30_000

export interface Ask {
  readonly method?: 'GET' | 'POST' | 'PATCH'
  readonly body?: object
  /** Asks again until it is so. */
  readonly until?: (answer: unknown) => boolean
}

/** Sends a request, and prints it as the curl command that does the same, with its answer. */
export async function curl(url: string, { method = 'GET', body, until = () => true }: Ask = {}): Promise<unknown> {
  // A body makes curl send a POST by itself.
  const flags = method === 'PATCH' ? '-X PATCH ' : method === 'POST' && body === undefined ? '-X POST ' : ''
  code(`$ curl ${flags}${url}${body === undefined ? '' : ` -d '${JSON.stringify(body)}'`}`)
  const giveUp = Date.now() + deadlineMs
  for (;;) {
    const { text, ok } = await send(url, method, body)
    const answer: unknown = ok ? JSON.parse(text) : undefined
    if (ok && until(answer)) {
      line(dim(text.trimEnd().replaceAll(/^/gm, '  ')))
      return answer
    }
    if (!ok || Date.now() > giveUp) throw new Error(`${method} ${url} answered ${text}`)
    await sleep(50)
  }
}

async function send(url: string, method: string, body?: object): Promise<{ ok: boolean; text: string }> {
  const response = await fetch(url, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
  return { ok: response.ok, text: await response.text() }
}
