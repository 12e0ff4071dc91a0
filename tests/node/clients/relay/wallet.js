import { graphql } from "relay-runtime";

export const wallet = graphql`
  query walletQuery($id: ID!) {
    customer(id: $id) {
      name
      paymentMethods {
        label
        provider
      }
    }
  }
`;
