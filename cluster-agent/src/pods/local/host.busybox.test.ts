import { localContract } from './contract.ts'

localContract('busybox')
