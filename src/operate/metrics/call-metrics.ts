import type { ApiCall, LedgerTransaction, Meter } from '../../meter.js'
import type { Metrics } from './registry.js'

const secondsOfRequests = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
const secondsOfTransactions = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]
const objectsOfRequests = [1, 2, 5, 10, 25, 50, 75, 100, 250, 500, 1_000]
const bytesOfRequests = [1_024, 4_096, 16_384, 65_536, 262_144, 524_288, 1_048_576, 4_194_304]

/** What is observed as it happens: requests, and transactions of the ledger. */
export function callMetrics(metrics: Metrics): Meter {
  const duration = metrics.histogram({
    name: 'api_request_duration_seconds',
    help: 'Calls of the API, from the start until the answer is read. status: the HTTP status, "none" without an answer.',
    labelNames: ['call', 'status'],
    buckets: secondsOfRequests,
  })
  const objects = metrics.histogram({
    name: 'api_request_objects',
    help: 'Objects of a delivery request.',
    buckets: objectsOfRequests,
  })
  const bytes = metrics.histogram({
    name: 'api_request_bytes',
    help: 'Bytes of the body of a delivery request.',
    buckets: bytesOfRequests,
  })
  const transaction = metrics.histogram({
    name: 'ledger_transaction_duration_seconds',
    help: 'Transactions in which the ledger recorded what became of objects. outcome: committed, failed.',
    labelNames: ['outcome'],
    buckets: secondsOfTransactions,
  })
  return {
    called(call: ApiCall) {
      duration({ call: call.call, status: call.status === null ? 'none' : String(call.status) }, call.seconds)
      if (call.call !== 'add') return
      objects({}, call.objects)
      bytes({}, call.bytes)
    },
    recorded({ outcome, seconds }: LedgerTransaction) {
      transaction({ outcome }, seconds)
    },
  }
}
