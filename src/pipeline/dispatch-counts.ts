import type { DispatchCounts } from '../delivery/dispatch-options.js'

export const noCounts: DispatchCounts = {
  requests: 0,
  retries: 0,
  throttled: 0,
  sentObjects: 0,
  accepted: 0,
  unchanged: 0,
  parked: 0,
  gone: 0,
  deferred: 0,
}

export const sumOfCounts = (a: DispatchCounts, b: DispatchCounts): DispatchCounts => ({
  requests: a.requests + b.requests,
  retries: a.retries + b.retries,
  throttled: a.throttled + b.throttled,
  sentObjects: a.sentObjects + b.sentObjects,
  accepted: a.accepted + b.accepted,
  unchanged: a.unchanged + b.unchanged,
  parked: a.parked + b.parked,
  gone: a.gone + b.gone,
  deferred: a.deferred + b.deferred,
})
