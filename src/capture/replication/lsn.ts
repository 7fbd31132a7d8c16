export { formatLsn, type Lsn, parseLsn } from '../../lsn.js'
