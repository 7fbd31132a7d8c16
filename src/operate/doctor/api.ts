import { lookup } from 'node:dns/promises'
import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { ProxySettings } from '../../environment.js'
import { type Check, failure, ok, type Step, type Verdict } from './finding.js'

export interface ApiGiven {
  readonly url: URL
  /** The proxy that requests to the API go through; `null` where they go directly. */
  readonly proxy: URL | null
  readonly timeoutMs: number
}

/** The proxy for a URL, by the rules that requests follow. */
export function proxyFor(url: URL, proxy: ProxySettings | undefined): URL | null {
  const { httpProxy = '', httpsProxy = '', noProxy = '' } = proxy ?? {}
  const chosen = url.protocol === 'https:' ? httpsProxy || httpProxy : httpProxy
  if (chosen === '' || !URL.canParse(chosen)) return null
  const direct = noProxy.split(/[,\s]+/).some((entry) => {
    const [host = '', port] = entry.trim().split(':')
    if (host === '' || (port !== undefined && port !== portOf(url))) return false
    const suffix = host.replace(/^\*?\./, '').toLowerCase()
    return host === '*' || url.hostname === suffix || url.hostname.endsWith(`.${suffix}`)
  })
  return direct ? null : new URL(chosen)
}

/** Where the first connection goes to. */
const next = ({ url, proxy }: ApiGiven): URL => proxy ?? url
const portOf = (url: URL): string => url.port || (url.protocol === 'https:' ? '443' : '80')
const hostOf = (url: URL): string => url.hostname.replace(/^\[|\]$/g, '')

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : 'without a reason'

function through({ url, proxy }: ApiGiven): Step {
  return proxy === null
    ? { do: `Check SAFETYKIT_BASE_URL (${url.origin}), and what the firewall lets out.` }
    : { do: `Check HTTPS_PROXY and HTTP_PROXY (${proxy.host}); NO_PROXY names what needs none.` }
}

export const reachChecks: readonly Check<ApiGiven>[] = [
  {
    check: 'api-name',
    why: 'Without an address for its name the API, or the proxy on the way to it, cannot be reached.',
    look: async (given) => {
      const host = hostOf(next(given))
      const what = given.proxy === null ? host : `the proxy ${host}`
      try {
        const { address } = await lookup(host)
        return ok(`${what} is ${address}`)
      } catch (error) {
        return failure(`the name ${host} is not known (${codeOf(error)})`, [through(given)])
      }
    },
  },
  {
    check: 'api-connection',
    why: 'Nothing can be delivered while no connection to it is made.',
    look: async (given) => {
      const target = next(given)
      const where = `${target.hostname}:${portOf(target)}`
      const error = await attempt(() => connect(Number(portOf(target)), hostOf(target)), 'connect', given.timeoutMs)
      return error === null ? ok(where) : failure(`no connection to ${where} (${error})`, [through(given)])
    },
  },
  {
    check: 'api-tls',
    why: 'A certificate that is not trusted ends every request.',
    look: lookAtTls,
  },
]

async function lookAtTls(given: ApiGiven): Promise<Verdict> {
  const { url, proxy, timeoutMs } = given
  if (url.protocol !== 'https:') return ok('not used: the URL is http')
  if (proxy !== null) return ok('behind the proxy; the answer below tells')
  const [host, port] = [hostOf(url), Number(portOf(url))]
  const named = isIP(host) === 0 ? { servername: host } : {}
  const error = await attempt(() => connectTls({ host, port, ...named }), 'secureConnect', timeoutMs)
  if (error === null) return ok('the certificate is trusted')
  return failure(`TLS with ${url.host} fails (${error})`, [
    {
      do: 'Where a company signs certificates of its own: NODE_EXTRA_CA_CERTS=/path/to/ca.pem. Else check SAFETYKIT_BASE_URL.',
    },
  ])
}

/** What keeps a socket from coming so far; `null` where it does. */
function attempt(open: () => Socket, event: string, timeoutMs: number): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = open()
    const end = (result: string | null): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(result)
    }
    const timer = setTimeout(() => end(`no answer within ${timeoutMs / 1_000} s`), timeoutMs)
    socket.once(event, () => end(null))
    // More than one may come, and none may go unheard.
    socket.on('error', (error) => end(codeOf(error)))
  })
}
