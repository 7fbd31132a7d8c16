// Loaded before the sidecar (--import): SIGUSR2 sets its clock an hour forward, SIGURG back to what it is. What does not
// follow the clock of the wall (timers, performance.now) goes on as it does on a machine whose clock is set.
const RealDate = globalThis.Date
let aheadMs = 0

class SetDate extends RealDate {
  constructor(...given) {
    if (given.length === 0) super(RealDate.now() + aheadMs)
    else super(...given)
  }
  static now() {
    return RealDate.now() + aheadMs
  }
}
globalThis.Date = SetDate
process.on('SIGUSR2', () => {
  aheadMs = 3_600_000
})
process.on('SIGURG', () => {
  aheadMs = 0
})
