import { localContract } from './local-contract.ts'

localContract('busybox')
