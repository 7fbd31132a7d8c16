import type { ResolvedSync } from '../../config/resolved.js'
import { type ApiGiven, proxyFor, reachChecks } from './api.js'
import { type ApiAnswer, apiClockCheck, askApi, keyChecks } from './api-answers.js'
import { type Examination, from, type Learnt, type Line, Missing, together } from './examination.js'
import { type Check, failure, ok, type Verdict, warning } from './finding.js'
import type { DoctorSettings } from './settings.js'

export interface ApiExamination {
  readonly examination: Examination
  readonly settings: Pick<DoctorSettings, 'apiKey' | 'baseUrl' | 'proxy'>
  readonly resolved: ResolvedSync | Missing
  readonly timeoutMs: number
  readonly now: () => number
  readonly write: boolean
}

/** Less than a check may take in all, so that it can say itself that nothing came. */
const attemptMarginMs = 500

/** Each step on the way to the API, and the key. */
export async function examineApi(options: ApiExamination): Promise<void> {
  const { examination, settings, resolved, now, write } = options
  const timeoutMs = Math.max(1, options.timeoutMs - attemptMarginMs)
  const address = { check: 'api-address', why: 'Changes are sent there.' }
  const target = await examination.learn('api', address, {}, async () => {
    const baseUrl = settings.baseUrl()
    const url = new URL(baseUrl ?? 'https://api.safetykit.com')
    const proxySettings = settings.proxy()
    const proxy = proxyFor(url, proxySettings)
    const verdicts = ok(`${url.origin}${proxy === null ? '' : `, through the proxy ${proxy.host}`}`)
    return { verdicts, value: { url, baseUrl, proxy, proxySettings, timeoutMs, now } }
  })
  const way = new Way()
  await examination.examine(
    'api',
    reachChecks.map((check) => way.watch(check)),
    target,
    way,
  )
  const answer = { check: 'api-answer', why: 'Only an answer tells that the whole way works.' }
  const answered = await examination.learn(
    'api',
    answer,
    target,
    async (given) => judge(given, await askApi(given)),
    way,
  )
  await examination.examine('api', [apiClockCheck], answered)
  const key = await examination.learn(
    'api',
    { check: 'key-setting', why: 'The API answers nobody without a key.' },
    {},
    async () => ({ verdicts: ok('SAFETYKIT_API_KEY is set'), value: settings.apiKey() }),
  )
  const asking = from(together(together(target, answered), together(key, resolved)), ([[given], [apiKey, sync]]) => ({
    ...given,
    apiKey,
    resolved: sync,
    write,
  }))
  await examination.examine('api', keyChecks, asking)
}

/** The way to the API: where one step fails, the next ones cannot be made. */
class Way implements Line {
  gone: string | null = null

  giveUp(because: string): void {
    this.gone ??= because
  }

  watch(check: Check<ApiGiven>): Check<ApiGiven> {
    const look = async (given: ApiGiven): Promise<Verdict | readonly Verdict[]> => {
      const verdict = await check.look(given)
      if ('status' in verdict && verdict.status === 'failure') this.giveUp(`"${check.check}" failed`)
      return verdict
    }
    return { ...check, look }
  }
}

function judge({ proxy, url }: ApiGiven, answer: ApiAnswer): Learnt<ApiAnswer> {
  const { status, tookMs } = answer
  const found = `HTTP ${status} after ${Math.round(tookMs)} ms`
  if (status === 407) {
    const fix = [{ do: 'Give the proxy its user and password: HTTPS_PROXY=http://user:password@host:port' }]
    return {
      verdicts: failure(`the proxy ${proxy?.host ?? ''} asks for a login (${status})`, fix),
      value: new Missing('"api-answer" failed'),
    }
  }
  if (status === 404 || status === 405 || (status >= 300 && status < 400)) {
    const base = `${url.origin}${url.pathname}`
    const fix = [
      { do: `Check that SAFETYKIT_BASE_URL (${base}) is the API itself, without /v1 at its end, and no redirect.` },
    ]
    return { verdicts: warning(`${found}: without a key the API refuses, and has no other answer`, fix), value: answer }
  }
  if (status < 500) return { verdicts: ok(found), value: answer }
  return { verdicts: warning(found, [{ do: 'Try again in a while; "run" does by itself.' }]), value: answer }
}
