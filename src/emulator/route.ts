import { type Answer, refusal } from './answer.js'

/** The calls of the API and of its object storage; what `when.path` of a fault and the statistics name. */
export type CallName = 'add' | 'import' | 'upload' | 'status' | 'results' | 'settings' | 'deletion'

export interface Route {
  readonly call: CallName
  /** `''` where the path has none. */
  readonly namespace: string
  /** The request's id (`status`, `results`) or the object key (`upload`). */
  readonly subject: string
}

/** Finds the call that a path and method mean, or says no with 404 or 405. */
export function routeOf(method: string, path: string): Route | Answer {
  const [, first = '', second = '', namespace = '', fourth, fifth, ...more] = path.split('/')
  if (first === 'upload')
    return only('PUT', method, { call: 'upload', namespace: '', subject: path.slice('/upload/'.length) })
  if (first === 'results')
    return only('GET', method, { call: 'results', namespace: '', subject: path.slice('/results/'.length) })
  if (path === '/v1/deletion_requests') return only('POST', method, { call: 'deletion', namespace: '', subject: '' })
  if (first !== 'v1' || second !== 'data' || namespace === '' || more.length > 0) return unknownPath()
  if (fourth === undefined) return only('POST', method, { call: 'add', namespace, subject: '' })
  if (fourth === 'import' && fifth === undefined)
    return only('POST', method, { call: 'import', namespace, subject: '' })
  if (fourth === 'settings' && fifth === undefined)
    return only('PUT', method, { call: 'settings', namespace, subject: '' })
  if (fourth === 'requests' && fifth === 'upload-url')
    return only('POST', method, { call: 'import', namespace, subject: '' })
  if (fourth === 'requests' && fifth) return only('GET', method, { call: 'status', namespace, subject: fifth })
  return unknownPath()
}

function only(allowed: string, method: string, route: Route): Route | Answer {
  if (method === allowed) return route
  return { ...refusal(405, 'method_not_allowed', `Use ${allowed} here.`), headers: { allow: allowed } }
}

function unknownPath(): Answer {
  return refusal(404, 'not_found', 'There is no such call.')
}
