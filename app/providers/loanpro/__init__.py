"""LoanPro: customers and their linked payment profiles in the LMS."""
