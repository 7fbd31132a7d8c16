import type { EmulatorStats } from './emulator.js'
import type { Fault } from './faults.js'
import type { StoredObject } from './objects.js'
import type { StoredRequest } from './requests.js'
import type { StoredDeletion } from './store.js'
import type { WebhookDelivery, WebhookOptions } from './webhooks.js'

/** A fault of an emulator in another process. */
export interface RemoteFault {
  readonly id: number
  /** Requests it has hit so far. */
  hits(): Promise<number>
  remove(): Promise<void>
}

/** The questions of `Emulator`, asked of one in another process. */
export interface RemoteEmulator {
  readonly url: string
  namespaces(): Promise<string[]>
  /** The latest state of every object. */
  objects(namespace: string): Promise<ReadonlyMap<string, StoredObject>>
  object(namespace: string, id: string): Promise<StoredObject | undefined>
  history(namespace: string, id: string): Promise<readonly StoredObject[]>
  requests(namespace?: string): Promise<StoredRequest[]>
  settings(namespace: string): Promise<Readonly<Record<string, unknown>> | undefined>
  settingsCalls(): Promise<number>
  deletionRequests(): Promise<readonly StoredDeletion[]>
  stats(): Promise<EmulatorStats>
  violations(): Promise<readonly string[]>
  readonly faults: {
    add(fault: Fault): Promise<RemoteFault>
    clear(): Promise<void>
  }
  readonly imports: {
    hold(): Promise<void>
    /** Answers with how many landed. */
    release(requestId?: string): Promise<number>
    expireUrls(requestId?: string): Promise<void>
  }
  readonly webhooks: {
    deliveries(): Promise<WebhookDelivery[]>
    configure(webhook: WebhookOptions | null): Promise<void>
    hold(): Promise<void>
    release(): Promise<void>
    deliver(...ids: string[]): Promise<void>
  }
  reset(): Promise<void>
}

/** Asks an emulator that runs in another process; no connection is kept open beyond what `fetch` keeps. */
export function connectEmulator(url: string): RemoteEmulator {
  const origin = url.replace(/\/+$/, '')

  /** `undefined` is a 404; every other refusal throws with the emulator's words. */
  const ask = async <T>(method: string, path: string, body?: unknown): Promise<T | undefined> => {
    const response = await fetch(`${origin}/emulator/${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    })
    const answer = (await response.json()) as T & { error?: { message?: string } }
    if (response.status === 404) return undefined
    if (!response.ok) throw new Error(`the emulator answered ${response.status}: ${answer.error?.message ?? ''}`)
    return answer
  }
  const get = async <T>(path: string): Promise<T> => {
    const answer = await ask<T>('GET', path)
    if (answer === undefined) throw new Error(`the emulator does not know /emulator/${path}`)
    return answer
  }
  const tell = async (method: string, path: string, body?: unknown): Promise<void> => {
    await ask(method, path, body)
  }
  const given = (id: string | undefined): string[] => (id === undefined ? [] : [id])
  const pathOf = (...segments: string[]): string => segments.map(encodeURIComponent).join('/')

  return {
    url: origin,
    namespaces: () => get('namespaces'),
    async objects(namespace) {
      const all = new Map<string, StoredObject>()
      let after: string | null = null
      do {
        const from: string = after === null ? '' : `&after=${encodeURIComponent(after)}`
        const page: { objects: StoredObject[]; next: string | null } = await get(
          `${pathOf('objects', namespace)}?limit=10000${from}`,
        )
        for (const object of page.objects) all.set(object.id, object)
        after = page.next
      } while (after !== null)
      return all
    },
    object: (namespace, id) => ask('GET', pathOf('objects', namespace, id)),
    history: (namespace, id) => get(pathOf('history', namespace, id)),
    requests: (namespace) =>
      get(namespace === undefined ? 'requests' : `requests?namespace=${encodeURIComponent(namespace)}`),
    settings: (namespace) => ask('GET', pathOf('settings', namespace)),
    settingsCalls: async () => (await get<EmulatorStats>('stats')).settingsCalls,
    deletionRequests: () => get('deletion-requests'),
    stats: () => get('stats'),
    violations: () => get('violations'),
    faults: {
      async add(fault) {
        const added = await ask<{ id: number }>('POST', 'faults', fault)
        const id = added?.id ?? 0
        return {
          id,
          async hits() {
            const all = await get<{ id: number; hits: number }[]>('faults')
            return all.find((one) => one.id === id)?.hits ?? 0
          },
          remove: () => tell('DELETE', `faults/${id}`),
        }
      },
      clear: () => tell('DELETE', 'faults'),
    },
    imports: {
      hold: () => tell('POST', 'imports/hold'),
      async release(requestId) {
        const answer = await ask<{ released: number }>('POST', pathOf('imports', 'release', ...given(requestId)))
        return answer?.released ?? 0
      },
      expireUrls: (requestId) => tell('POST', pathOf('imports', 'expire-urls', ...given(requestId))),
    },
    webhooks: {
      deliveries: () => get('webhooks'),
      configure: (webhook) => (webhook === null ? tell('DELETE', 'webhooks') : tell('PUT', 'webhooks', webhook)),
      hold: () => tell('POST', 'webhooks/hold'),
      release: () => tell('POST', 'webhooks/release'),
      deliver: (...ids) => tell('POST', 'webhooks/deliver', ids),
    },
    reset: () => tell('POST', 'reset'),
  }
}
