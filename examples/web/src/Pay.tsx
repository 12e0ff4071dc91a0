import { useMutation } from '@apollo/client/react'
import { useState, type SyntheticEvent } from 'react'
import { graphql } from './gql'
import { newKey } from './Outcome'

const QUOTE = graphql(`
  mutation Quote($input: QuotePaymentInput!) {
    quotePayment(input: $input) {
      payment { id state total { amount currency } processingFee { amount } }
      userErrors { message }
    }
  }
`)

const CAPTURE = graphql(`
  mutation Capture($input: CapturePaymentInput!) {
    capturePayment(input: $input) {
      payment { id state }
      userErrors { code message retryable }
    }
  }
`)

// Two steps: the quote fixes the vault's fee, then the customer confirms the total, then it is taken once.
export function Pay({ customerId }: { customerId: string }) {
  const [message, setMessage] = useState('')
  const [quote, quoted] = useMutation(QUOTE)
  const [capture, captured] = useMutation(CAPTURE)
  const payment = captured.data ? undefined : quoted.data?.quotePayment?.payment

  async function ask(event: SyntheticEvent<HTMLFormElement>) {
    event.preventDefault()
    captured.reset()
    const value = new FormData(event.currentTarget).get('amount') as string
    const { data } = await quote({
      variables: {
        input: {
          customerId,
          idempotencyKey: newKey(),
          using: { defaultOfCustomer: true },
          amount: { amount: value, currency: 'USD' },
          reference: 'Order 1001',
        },
      },
    })
    setMessage(data?.quotePayment?.userErrors[0]?.message ?? '')
  }

  async function confirm(paymentId: string) {
    const { data } = await capture({ variables: { input: { paymentId, idempotencyKey: newKey() } } })
    const state = data?.capturePayment?.payment?.state
    const words = {
      CAPTURED: 'Paid. Thank you.',
      PROCESSING: 'The payment is being processed.',
      DECLINED: 'Declined: no money was taken.',
      UNKNOWN: 'It is not known yet whether you have paid. Do not pay again: we are checking.',
    }
    setMessage(words[state as keyof typeof words] ?? data?.capturePayment?.userErrors[0]?.message ?? 'Not paid.')
  }

  return (
    <form onSubmit={(event) => void ask(event)}>
      <label>
        Pay <input name="amount" defaultValue="25.00" inputMode="decimal" required pattern="[0-9]+(\.[0-9]{2})?" /> USD
      </label>
      <button disabled={quoted.loading}>Show the total</button>
      {payment?.total && (
        <button type="button" disabled={captured.loading} onClick={() => void confirm(payment.id)}>
          Pay {payment.total.amount} {payment.total.currency} (fee {payment.processingFee?.amount ?? '0.00'})
        </button>
      )}
      <p role="status">{message}</p>
    </form>
  )
}
