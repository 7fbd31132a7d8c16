import { Agent, EnvHttpProxyAgent } from 'undici'
import type { ResolvedSync } from '../../config/resolved.js'
import { readStatusWord } from '../../delivery/answers.js'
import type { Outcome } from '../../delivery/api-outcome.js'
import { SafetyKitClient } from '../../delivery/client.js'
import type { ProxySettings } from '../../environment.js'
import { namespaceSchemas } from '../../mapping/settings.js'
import type { ApiGiven } from './api.js'
import { clockVerdict } from './clock.js'
import { type Check, failure, ok, skipped, type Verdict, warning } from './finding.js'

export interface ApiAnswersGiven extends ApiGiven {
  readonly proxySettings: ProxySettings | undefined
  readonly now: () => number
}

/** An answer of the API, whatever it says. */
export interface ApiAnswer {
  readonly status: number
  readonly date: string | null
  /** This machine's clock when it came, and how long it took. */
  readonly at: number
  readonly tookMs: number
}

/** No request has it. */
const unknownRequest = 'req_safetykit_sync_doctor'

/** Asks without the key, which the API refuses: every status says that HTTP works, and 401 or 403 that it is the API. */
export async function askApi({ url, proxySettings, timeoutMs, now }: ApiAnswersGiven): Promise<ApiAnswer> {
  const agent = proxySettings === undefined ? new Agent() : new EnvHttpProxyAgent(proxySettings)
  try {
    const before = now()
    const { statusCode, headers, body } = await agent.request({
      origin: url.origin,
      path: `${url.pathname.replace(/\/+$/, '')}/v1/data/none/requests/${unknownRequest}`,
      method: 'GET',
      signal: AbortSignal.timeout(timeoutMs),
    })
    const at = now()
    await body.dump({ limit: 1024 * 1024, signal: AbortSignal.timeout(timeoutMs) }).catch(() => {})
    const date = headers.date
    return { status: statusCode, date: typeof date === 'string' ? date : null, at, tookMs: at - before }
  } finally {
    await agent.destroy()
  }
}

/** The header has whole seconds. */
const headerMs = 1_000

export const apiClockCheck: Check<ApiAnswer> = {
  check: 'api-clock',
  why: 'Signatures of webhooks and of uploads are good for a time only.',
  look: async ({ date, at, tookMs }) => {
    const sent = date === null ? Number.NaN : Date.parse(date)
    if (Number.isNaN(sent)) return skipped('not looked at: its answer has no Date')
    return clockVerdict("the API's", sent + headerMs / 2 - at, tookMs + headerMs)
  },
}

export interface KeyGiven extends ApiGiven {
  readonly apiKey: string
  readonly baseUrl: string | undefined
  readonly proxySettings: ProxySettings | undefined
  readonly resolved: ResolvedSync
  /** Whether calls that write may be made. */
  readonly write: boolean
}

const withClient = async <T>(given: KeyGiven, work: (client: SafetyKitClient) => Promise<T>): Promise<T> => {
  const { apiKey, baseUrl, timeoutMs, proxySettings: proxy } = given
  const client = new SafetyKitClient({ apiKey, baseUrl, timeoutMs, maxConnections: 1, proxy })
  try {
    return await work(client)
  } finally {
    await client.destroy()
  }
}

export const keyChecks: readonly Check<KeyGiven>[] = [
  {
    check: 'api-key',
    why: 'With a key that is refused nothing is delivered, and the sidecar ends.',
    look: (given) =>
      withClient(given, async (client) => {
        const namespace = given.resolved.mappings[0]?.namespace ?? 'none'
        const outcome = await client.requestStatus(namespace, unknownRequest, readStatusWord)
        if (outcome.kind === 'accepted') return ok('the API takes it for reading')
        // It was asked for a request that is not there: whoever may not ask is told so first.
        if (outcome.kind === 'rejected')
          return ok(`the API does not refuse it (${outcome.status} to a question about no request)`)
        return said(outcome)
      }),
  },
  {
    check: 'api-settings',
    why: 'Whether the key may write is only told by a call that writes: the settings of the namespaces, as "run" pushes them.',
    look: async (given) => {
      if (!given.write) return skipped('not asked for: it writes, and --write allows it')
      const schemas = namespaceSchemas(given.resolved.mappings)
      return withClient(given, async (client) => {
        const verdicts: Verdict[] = []
        for (const { namespace, schema } of schemas) {
          const outcome = await client.putSettings(namespace, schema)
          if (outcome.kind === 'accepted') verdicts.push(ok('the settings were pushed', namespace))
          else verdicts.push({ ...said(outcome), subject: namespace })
        }
        return verdicts
      })
    },
  },
]

function said(outcome: Exclude<Outcome<unknown>, { kind: 'accepted' }>): Verdict {
  const { message, hint } = outcome.error
  const fix = hint === undefined ? [] : [{ do: hint }]
  // Who answers so is not the API, and waiting does not make it so.
  if (outcome.error.code === 'API_UNEXPECTED') return failure(message, fix)
  return outcome.kind === 'retry' ? warning(`it could not be told: ${message}`, fix) : failure(message, fix)
}
