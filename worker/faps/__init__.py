"""The networks of Zheng et al., eClinicalMedicine 2023;58:101913."""
